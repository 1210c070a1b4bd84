"""Backups beside pg_dump: what is measured, and how it is compared."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench import knobs
from bench.backups import peak, programs, table
from bench.backups.peak import Peak
from bench.backups.programs import Sample
from bench.backups.table import Found
from bench.figures import Figure
from bench.redeploy.outcome import Outcome
from tests.bench import quick_run

pytestmark = pytest.mark.time_limit(400)

FIGURES = {
    *(
        (name, unit)
        for name in ("backup create", "backup create, encrypted", "post-restore")
        for unit in ("s", "CPU s")
    ),
    ("peak memory, backup create", "MiB PSS"),
    ("peak memory, backup create, encrypted", "MiB PSS"),
    ("peak memory, post-restore", "MiB PSS"),
    ("p99 during backup create", "ms"),
}


if shutil.which("age") is None:
    FIGURES = {entry for entry in FIGURES if entry[0] != "backup create, encrypted"}


def measured(**seconds: tuple[float, ...]) -> Found:
    """Two rounds in which everything took a second, but for what is named."""
    names = ("create", "gzip", "zstd", "encrypted", "age", "restore", "plain")
    samples = {
        name: [Sample(each, each / 2) for each in seconds.get(name, (1.0, 1.0))] for name in names
    }
    peaks = {name: Peak(40.0) for name in ("create", "encrypted", "restore")}
    calm = [Outcome(20.0, 0.0, 10.0), Outcome(20.0, 0.0, 10.0)]
    return Found(2, samples, dict(peaks), dict(peaks), list(calm), list(calm))


def line(found: Found, name: str, unit: str, against: str = "") -> Figure:
    """One line of the table."""
    return next(
        one
        for one in table.figures(found)
        if (one.name, one.unit) == (name, unit) and against in one.against
    )


def test_a_backup_is_compared_with_both_dumps_round_by_round() -> None:
    found = measured(create=(2.0, 4.0), gzip=(2.0, 4.0), zstd=(1.0, 2.0))
    by_itself = line(found, "backup create", "s", "gzip")
    alike = line(found, "backup create", "s", "zstd")
    assert by_itself.ratio is not None
    assert (by_itself.ratio.median, by_itself.met) == (1.0, True)
    assert alike.ratio is not None
    assert (alike.ratio.median, alike.met) == (2.0, False)


def test_slower_by_a_twentieth_of_the_speed_is_still_met() -> None:
    assert line(measured(restore=(1.05, 1.05)), "post-restore", "s").met
    assert not line(measured(restore=(1.06, 1.06)), "post-restore", "s").met


def test_memory_is_compared_between_two_sizes() -> None:
    found = measured()
    found.large["encrypted"] = Peak(60.0)
    weighed = line(found, "peak memory, backup create, encrypted", "MiB PSS")
    assert (weighed.ours, weighed.bare, weighed.met) == ((60.0,), (40.0,), False)


def test_what_clients_see_is_compared_with_the_window_beside_it() -> None:
    found = measured()
    found.during = [Outcome(90.0, 0.0, 14.0), Outcome(90.0, 0.0, 12.0)]
    figure = line(found, "p99 during backup create", "ms")
    assert figure.ratio is not None
    assert figure.ratio.high == 1.4
    assert figure.met


def test_without_age_there_is_no_line_for_it() -> None:
    found = measured()
    del found.samples["age"]
    assert not any(one.name == "backup create, encrypted" for one in table.figures(found))


def test_a_peak_counts_what_a_program_starts_but_not_postgres(tmp_path: Path) -> None:
    server = tmp_path / "postgres"
    server.write_bytes(Path("/bin/sleep").read_bytes())
    server.chmod(0o755)
    script = f"x = 'x' * (64 << 20); import subprocess; subprocess.run(['{server}', '0.6'])"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        found = peak.watch(process)
    assert 60 < found.pss_mib < 200
    assert found.pss_mib <= sum(found.largest_rss_mib.values()) + 1
    assert "postgres" not in found.largest_rss_mib


def test_the_cpu_of_a_program_that_has_ended_is_counted(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    with programs.measured() as busy:
        programs.run([sys.executable, "-c", spin], tmp_path / "log")
    with programs.measured() as idle:
        time.sleep(0.1)
    assert busy.cpu_s >= 0.3
    assert idle.cpu_s < 0.1 <= idle.seconds


def test_a_program_that_fails_ends_the_bench_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such luck"):
        programs.run(["sh", "-c", "echo no such luck; exit 1"], tmp_path / "log")


@pytest.mark.parametrize("text", ["0", "-1", "much", "1e3"])
def test_a_size_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_GIGABYTES", text)
    with pytest.raises(SystemExit, match="BENCH_GIGABYTES"):
        knobs.read()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], list[Path]]:
    """The table, the document, and what is left of a quick run of this part."""
    results, folder = (tmp_path_factory.mktemp(name) for name in ("results", "b"))
    for path in (folder, *folder.parents[:2]):
        path.chmod(path.stat().st_mode | 0o011)
    only = {"BENCH_ONLY": "backups", "BENCH_GIGABYTES": "0.01", "BENCH_DIR": str(folder)}
    return *quick_run.run(results, 300, **only), list(folder.iterdir())


@pytest.mark.nightly
def test_a_quick_run_gives_every_line_and_leaves_nothing_behind(
    run: tuple[str, dict[str, Any], list[Path]],
) -> None:
    printed, document, left = run
    found = {(entry["name"], entry["unit"]) for entry in document["figures"]}
    assert found == FIGURES
    assert all(any(row.startswith(name) for row in printed.splitlines()) for name, _ in FIGURES)
    assert document["knobs"]["gigabytes"] == 0.01
    assert left == []


@pytest.mark.nightly
def test_the_document_has_every_sample(run: tuple[str, dict[str, Any], list[Path]]) -> None:
    details = run[1]["backups"]
    assert all(len(samples) == 1 for samples in details["samples"].values())
    for peaks in (details["small"], details["large"]):
        assert set(peaks) == {"create", "encrypted", "restore"}
        assert all(one["pss_mib"] > 10 and one["largest_rss_mib"] for one in peaks.values())
    (during,) = details["during"]
    assert (during["failed"], during["requests"] > 0) == (0, True)
