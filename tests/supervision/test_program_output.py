"""What Postgres says becomes an object for each message, whatever is in it."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.supervision.program_output import READ_BYTES, ProgramOutput
from appliance.system import log
from appliance.system.process import PIPE_BYTES

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@pytest.fixture(autouse=True)
def as_json() -> Iterator[None]:
    log.use_format("json")
    yield
    log.use_format("text")


def heard(capfd: pytest.CaptureFixture[str], *reads: str | bytes) -> list[dict[str, Any]]:
    """The objects that come of what was read, one read each."""
    output = ProgramOutput("postgres")
    for read in reads:
        output.add(read if isinstance(read, bytes) else read.encode())
    output.end()
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def said(text: str, pid: int = 71, number: int = 1, severity: str = "WARNING") -> str:
    """A message as Postgres writes it: a tab before what continues on another line."""
    continued = text.replace("\n", "\n\t")
    return f"1732712345.033 {pid} {number} {severity}:  {continued}\n"


def test_a_line_of_postgres_is_an_object_with_its_own_time(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert heard(capfd, said("database system is ready", severity="LOG")) == [
        {
            "time": "2024-11-27T12:59:05.033Z",
            "level": "info",
            "program": "postgres",
            "message": "database system is ready",
            "severity": "LOG",
            "pid": 71,
        }
    ]


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        ("DEBUG", "debug"),
        ("LOG", "info"),
        ("NOTICE", "info"),
        ("WARNING", "warning"),
        ("ERROR", "error"),
        ("FATAL", "error"),
        ("PANIC", "error"),
    ],
)
def test_the_severity_is_kept_beside_the_level(
    capfd: pytest.CaptureFixture[str], severity: str, level: str
) -> None:
    [found] = heard(capfd, said("text", severity=severity))
    assert (found["severity"], found["level"]) == (severity, level)


def test_an_error_with_its_details_and_statement_is_one_object(
    capfd: pytest.CaptureFixture[str],
) -> None:
    message = (
        said("division by zero", 71, 1, "ERROR")
        + said("inline code\nline 1", 71, 2, "CONTEXT")
        + said("SELECT\n\t1/0", 71, 3, "STATEMENT")
    )
    [error, other] = heard(capfd, message + said("another", 72))
    assert error["message"] == "division by zero"
    assert error["context"] == "inline code\nline 1"
    assert error["statement"] == "SELECT\n\t1/0"
    assert (other["message"], other["pid"]) == ("another", 72)


def test_a_detail_of_another_process_is_not_joined(capfd: pytest.CaptureFixture[str]) -> None:
    found = heard(capfd, said("mine", 71) + said("not mine", 72, 1, "DETAIL"))
    assert [one["message"] for one in found] == ["mine", "not mine"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=5),
    cut=st.integers(0, 300),
    data=st.binary(max_size=5),
)
def test_no_text_forges_an_object(
    capfd: pytest.CaptureFixture[str], texts: list[str], cut: int, data: bytes
) -> None:
    forged = [f"{text}\n{said('forged', 666)}" for text in texts]
    written = (
        "".join(said(text, number=n) for n, text in enumerate(forged, 1)).encode() + b"x" + data
    )
    found = heard(capfd, written)
    assert [one["message"] for one in found[: len(forged)]] == forged
    assert not [one for one in found if one.get("pid") == 666]
    # Wherever a read that filled its buffer ends, each line is an object.
    heard(capfd, written[:cut], written[cut:])


def test_a_message_that_two_reads_share_is_one_object(capfd: pytest.CaptureFixture[str]) -> None:
    text = said("\n".join(["long line"] * (READ_BYTES // 5))).encode()
    reads = [text[at : at + READ_BYTES] for at in range(0, len(text), READ_BYTES)]
    assert len(reads) > 1
    [found] = heard(capfd, *reads)
    assert len(found["message"].splitlines()) == READ_BYTES // 5


def test_it_is_told_how_many_lines_are_missing(capfd: pytest.CaptureFixture[str]) -> None:
    first = said("one", 71, 1) + said("first of another", 72, 1)
    *_, told = heard(capfd, first, said("five", 71, 5) + said("third", 73, 3))
    assert "lines were lost" in told["message"]
    assert (told["level"], told["lines"]) == ("warning", 3 + 2)


def test_a_number_that_is_used_again_misses_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    lines = [said("text", 71, number) for number in (1, 2, 3, 1, 2, 1)]
    assert len(heard(capfd, *lines)) == len(lines)


def test_processes_that_have_ended_are_forgotten_and_others_are_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    alive = os.getpid()
    ended = (said("short", 4_200_000 + n) for n in range(3000))
    found = heard(capfd, said("first", alive), *ended, said("second", alive, 2))
    assert len(found) == 3002


def test_what_has_no_prefix_is_a_warning_of_its_program(capfd: pytest.CaptureFixture[str]) -> None:
    [first, second] = heard(capfd, "Fatal Python error\n\n\ttab", b"\xff last words")
    assert (first["message"], first["level"]) == ("Fatal Python error", "warning")
    assert (second["message"], second["program"]) == ("\ttab\\xff last words", "postgres")


def test_what_only_looks_like_a_line_of_postgres_harms_nobody(
    capfd: pytest.CaptureFixture[str],
) -> None:
    strange = [f"{'9' * 30}.000 1 1 LOG:  x", f"1732712345.033 {'9' * 5000} 1 LOG:  x"]
    found = heard(capfd, "\n".join(strange))
    assert [one["message"] for one in found] == strange


def test_a_line_without_an_end_is_not_kept_for_ever(capfd: pytest.CaptureFixture[str]) -> None:
    output = ProgramOutput("postgres")
    for _ in range(2 * PIPE_BYTES // READ_BYTES):
        output.add(b"x" * READ_BYTES)
    assert json.loads(capfd.readouterr().out)["message"].startswith("xxx")
