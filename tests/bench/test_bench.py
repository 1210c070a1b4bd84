"""A whole run of the bench, small; that of one part is in `test_one_part.py`."""

from typing import Any

import pytest

from bench.redeploy import table
from tests.bench import quick_run, test_backups

pytestmark = [pytest.mark.time_limit(400), pytest.mark.nightly]

FIGURES = {
    ("cold boot to 200 on /up", "ms"),
    ("warm boot to 200 on /up", "ms"),
    ("idle memory", "MiB PSS"),
    *(
        (name, unit)
        for name in ("read an account", "read a page of 20", "write")
        for unit in ("requests/s", "p50 ms", "p99 ms")
    ),
    ("the load generator itself", "requests/s"),
    *test_backups.FIGURES,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The table and the document of a quick run."""
    return quick_run.run(tmp_path_factory.mktemp("results"), 300)


def test_the_table_has_a_line_for_every_figure_and_says_what_was_not_measured(
    run: tuple[str, dict[str, Any]],
) -> None:
    printed, _ = run
    lines = printed.splitlines()
    assert lines[0].split() == "figure unit ours bare ours/bare aim bare is".split()
    for name, unit in FIGURES:
        assert any(line.startswith(name) and f"  {unit}  " in line for line in lines), name
    assert "The image's size was not measured" in printed


def test_every_figure_in_the_document_has_samples_in_pairs(
    run: tuple[str, dict[str, Any]],
) -> None:
    _, document = run
    assert {(entry["name"], entry["unit"]) for entry in document["figures"]} == FIGURES
    for entry in document["figures"]:
        ours = entry["ours"]
        assert 0 < ours["low"] <= ours["median"] <= ours["high"], entry
        if entry["bare"]:
            assert len(entry["bare"]["samples"]) == len(ours["samples"])
            assert entry["ratio"]["median"] > 0


def test_every_way_to_replace_a_container_has_a_row_and_an_outcome_in_each_round(
    run: tuple[str, dict[str, Any]],
) -> None:
    printed, document = run
    rounds = document["redeploys"]["rounds"]
    assert set(rounds) == set(table.ROWS)
    for key, name in table.ROWS.items():
        assert any(line.startswith(f"{name}  ") for line in printed.splitlines()), name
        (outcome,) = rounds[key]
        assert outcome["stall_ms"] > 0
        assert outcome["wal_mib"] >= document["knobs"]["wal"]


def test_our_own_redeploys_fail_no_request_and_tell_their_phases(
    run: tuple[str, dict[str, Any]],
) -> None:
    rounds = run[1]["redeploys"]["rounds"]
    for key in ("planned", "owner_killed"):
        (outcome,) = rounds[key]
        assert (outcome["failed"], outcome["requests"] > 0) == (0, True)
        assert {"prepare", "start", "away"} <= outcome["phases_ms"].keys()
    assert rounds["stop_then_start"][0]["failed"] > 0


def test_the_document_says_where_and_how_it_was_measured(run: tuple[str, dict[str, Any]]) -> None:
    _, document = run
    assert document["format"] == 1
    assert document["knobs"]["quick"] is True
    assert {"cpus", "memory_mib", "python", "load_before"} <= document["machine"].keys()
    assert set(document["boots"]) == {"ours", "same", "least"}
    assert {"supervisor", "postgres", "agent", "api"} == set(document["boots"]["ours"]["memory"][0])
