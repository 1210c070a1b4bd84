"""Test files that take long are begun first, so that no process is idle at the end.

The files of a folder stay together, because they share what runs. How
long each took is noted by `make test ARGS='-n 4 --write-durations'`.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTED = ROOT / "tests" / "durations.json"

# A file that nobody has measured may be a long one.
_UNKNOWN_S = 60

_Place = tuple[int, str, int, str]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that notes durations."""
    parser.addoption(
        "--write-durations", action="store_true", help="note how long each test file takes"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Measure if asked to, in the process that hears of all tests."""
    if config.getoption("--write-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Stopwatch())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first. Items of one file keep their order."""
    durations = json.loads(NOTED.read_text()) if NOTED.exists() else {}
    items.sort(key=_order({item.location[0] for item in items}, durations))


def _order(files: set[str], noted: dict[str, int]) -> Callable[[pytest.Item], _Place]:
    seconds = {file: noted.get(file, _UNKNOWN_S) for file in files}
    longest: dict[Path, int] = {}
    for file in files:
        longest[Path(file).parent] = max(seconds[file], longest.get(Path(file).parent, 0))

    def place(item: pytest.Item) -> _Place:
        file = item.location[0]
        folder = Path(file).parent
        return -longest[folder], str(folder), -seconds[file], file

    return place


class _Stopwatch:
    """Adds up what the tests of a file take, with their fixtures."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_sessionfinish(self) -> None:
        noted = json.loads(NOTED.read_text()) if NOTED.exists() else {}
        noted |= {file: round(seconds) for file, seconds in self._seconds.items()}
        kept = {file: noted[file] for file in sorted(noted) if (ROOT / file).exists()}
        NOTED.write_text(json.dumps(kept, indent=1) + "\n")
