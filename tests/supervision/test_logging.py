"""Everything goes to standard output, in whole lines, one for each request, and no file."""

import json
import os
import re
import signal
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import requests

from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

OURS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (api|agent|postgres|supervisor|settings) .+"
POSTGRES = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC postgres (LOG|FATAL|ERROR|WARNING|DETAIL).*"
REQUEST = (
    r"\S+Z api request method=\S+ path=\S+ status=\d+ duration_ms=[\d.]+ "
    r"request_id=(?P<id>\S+) client=\S+"
)

# Megabytes, more than the pipe takes.
FLOOD_LINES = 20_000
FLOOD = f"""DO $$BEGIN
FOR n IN 1 .. {FLOOD_LINES} LOOP RAISE WARNING 'flood % %', n, repeat('x', 200); END LOOP;
END$$"""


def test_every_request_makes_exactly_one_whole_line_under_concurrent_load(
    appliance: Appliance,
) -> None:
    identifiers = [f"mine-{number}" for number in range(400)]
    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(lambda name: one_request(appliance, name), identifiers))
    assert set(statuses) == {200, 401, 404}
    wait_until(lambda: len(requests_seen(appliance)) >= len(identifiers), "all lines are there")
    seen = requests_seen(appliance)
    assert sorted(seen) == sorted(identifiers)
    broken = [line for line in appliance.lines if not re.fullmatch(f"{OURS}|{POSTGRES}", line)]
    assert broken == []
    assert "secret-token" not in appliance.log
    assert "secret-query" not in appliance.log


def test_a_line_that_a_client_forges_stays_one_line(appliance: Appliance) -> None:
    path = "/%0A2026-01-01T00:00:00.000Z%20postgres%20forged"
    requests.get(appliance.url + path, headers={"X-Request-Id": "x"}, timeout=10)
    wait_until(lambda: "forged" in appliance.log, "the request is logged")
    assert not [line for line in appliance.lines if re.fullmatch(r"\S+Z postgres forged.*", line)]


def test_as_json_each_line_of_a_life_is_one_object(
    make_appliance: Callable[..., Appliance],
) -> None:
    started = make_appliance(LOG_FORMAT="json").start().wait_until_up()
    started.call("GET", "/api/accounts?secret-query=1")
    unknown_database(started)
    processes.kill(started.programs()["agent"].pid)
    wait_until(lambda: "/api/accounts" in started.log, "the request is logged")
    wait_until(lambda: "nonsense" in started.log, "the refusal is logged")
    assert started.stop() == 0
    objects = [json.loads(line) for line in started.lines]
    for one in objects:
        assert list(one)[:4] == ["time", "level", "program", "message"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["time"])
    assert {one["program"] for one in objects} == {
        *("api", "agent", "postgres", "supervisor", "settings")
    }
    assert {one["level"] for one in objects} == {"info", "warning", "error"}
    [refused] = [one for one in objects if "nonsense" in one["message"]]
    assert (refused["severity"], refused["level"]) == ("FATAL", "error")
    ended = [one["message"] for one in objects if one.get("severity") == "LOG"]
    assert ended[-1] == "database system is shut down"
    assert not [one for one in objects if "lost" in one["message"]]
    [asked] = [one for one in objects if one.get("path") == "/api/accounts"]
    assert (asked["method"], asked["status"], asked["message"]) == ("GET", 422, "request")
    assert isinstance(asked["duration_ms"], float)
    assert "secret-query" not in started.log


def test_as_json_an_error_of_several_lines_is_one_object(
    make_appliance: Callable[..., Appliance],
) -> None:
    started = make_appliance(LOG_FORMAT="json").start().wait_until_up()
    with started.connect("postgres") as superuser:
        superuser.execute("SET log_error_verbosity = verbose")
        superuser.execute("SET log_min_error_statement = error")
        with pytest.raises(psycopg.errors.RaiseException):
            superuser.execute(
                "DO $$BEGIN\n RAISE 'one\n\ttwo' USING DETAIL = 'three\nfour';\nEND$$"
            )
    line = wait_until(lambda: one_with(started, "four"), "the error is logged")
    error = json.loads(line)
    assert error["message"] == "P0001: one\n\ttwo"
    assert error["detail"] == "three\nfour"
    assert error["context"].startswith("PL/pgSQL function inline_code_block line 2")
    assert error["statement"].startswith("DO $$BEGIN\n RAISE")


def test_a_supervisor_that_reads_nothing_keeps_no_backend_waiting(
    make_appliance: Callable[..., Appliance],
) -> None:
    started = make_appliance(LOG_FORMAT="json").start().wait_until_up()
    with started.connect("postgres") as superuser:
        os.kill(started.process.pid, signal.SIGSTOP)
        try:
            superuser.execute(FLOOD)
        finally:
            os.kill(started.process.pid, signal.SIGCONT)
        # What is said next is not lost, and tells how much was.
        wait_until(lambda: one_with(started, "flood 100 "), "what fitted is logged")
        superuser.execute("DO $$BEGIN RAISE WARNING 'afterwards'; END$$")
    wait_until(lambda: one_with(started, "lines were lost"), "the loss is told")
    assert started.stop() == 0
    objects = [json.loads(line) for line in started.lines]
    flood = [one for one in objects if one["message"].startswith("flood ")]
    lost = sum(one.get("lines", 0) for one in objects if "lines were lost" in one["message"])
    assert 0 < len(flood) < FLOOD_LINES
    assert len(flood) + lost == FLOOD_LINES
    assert [one for one in objects if one["message"] == "afterwards"]


def test_a_supervisor_that_is_killed_in_a_flood_costs_no_data(
    make_appliance: Callable[..., Appliance], storage_folder: Path
) -> None:
    first = make_appliance(LOG_FORMAT="json").start().wait_until_up()
    postmaster = first.postmaster()
    assert postmaster
    with first.connect("postgres") as superuser:
        superuser.execute("CREATE TABLE kept AS SELECT 1 AS one")
        os.kill(first.process.pid, signal.SIGSTOP)
        superuser.execute(FLOOD)
        processes.kill(first.process.pid)
        wait_until(lambda: not processes.alive(postmaster.pid), "the postmaster is gone with it")
    second = make_appliance(LOG_FORMAT="json").start().wait_until_up()
    with second.connect("postgres") as superuser:
        assert superuser.execute("SELECT one FROM kept").fetchall() == [(1,)]


def test_nobody_who_has_postgres_descriptors_dies_of_a_closed_pipe(
    make_appliance: Callable[..., Appliance],
) -> None:
    started = make_appliance(LOG_FORMAT="json").start().wait_until_up()
    postmaster = started.postmaster()
    assert postmaster
    for process in [postmaster, *processes.descendants(postmaster.pid)]:
        status = Path(f"/proc/{process.pid}/status").read_text()
        [ignored] = re.findall(r"^SigIgn:\s+(\w+)$", status, re.M)
        assert int(ignored, 16) >> (signal.SIGPIPE - 1) & 1, process
        for descriptor in (1, 2):
            assert is_nonblocking(process.pid, descriptor), process


def test_nothing_is_written_to_files_but_the_cluster(appliance: Appliance) -> None:
    appliance.call("GET", "/api/accounts")
    locks = {appliance.storage.lock, *appliance.storage.instances.glob("*/alive.lock")}
    for process in [
        *processes.descendants(appliance.process.pid),
        processes.read(appliance.process.pid),
    ]:
        assert process
        for path in files_open_for_writing(process.pid):
            of_the_cluster = path.is_relative_to(appliance.storage.pgdata)
            assert of_the_cluster or path in locks, (process, path)
    assert not [path for path in appliance.storage.root.rglob("*") if "log" in path.suffix]
    assert not (appliance.storage.pgdata / "log").exists()


def one_request(appliance: Appliance, name: str) -> int:
    """One of four kinds of request; the last also makes Postgres write a line."""
    headers = {"X-Request-Id": name, "Authorization": "Bearer secret-token"}
    kind = hash(name) % 4
    path = ("/health", "/api/accounts", "/nowhere?secret-query=1", "/up")[kind]
    if kind == 3:
        unknown_database(appliance)
    return requests.get(appliance.url + path, headers=headers, timeout=30).status_code


def one_with(appliance: Appliance, text: str) -> str | None:
    """A line that has this in it."""
    return next((line for line in list(appliance.lines) if text in line), None)


def is_nonblocking(pid: int, descriptor: int) -> bool:
    flags = int(Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().split()[3], 8)
    return bool(flags & os.O_NONBLOCK)


def unknown_database(appliance: Appliance) -> None:
    try:
        psycopg.connect(host=str(appliance.storage.run), user="app", dbname="nonsense")
    except psycopg.OperationalError:
        return


def requests_seen(appliance: Appliance) -> list[str]:
    found = (re.fullmatch(REQUEST, line) for line in list(appliance.lines))
    return [match["id"] for match in found if match and match["id"].startswith("mine-")]


def files_open_for_writing(pid: int) -> list[Path]:
    """Regular files with a name that a process has open for writing."""
    found = []
    # A program that has done its work may end while it is looked at: then it has none open.
    for link in links_to_open_files(pid):
        try:
            status = link.stat()
            flags = int(Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split()[3], 8)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and flags & os.O_ACCMODE and status.st_nlink:
            found.append(link.readlink())
    return found


def links_to_open_files(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return []
