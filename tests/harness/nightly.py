"""What is for the night: the same once more with other delays or rounds, and whole long runs.

`@pytest.mark.nightly` keeps a test, or one value of it, out of `make test`. Something like it that
takes less stays there, so that every change is tried; `make nightly` runs them with `--nightly`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make nightly`."""
    parser.addoption("--nightly", action="store_true", help="run what is for the night, too")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "nightly: too long for every change; make nightly runs it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave them out, unless they are wanted."""
    if config.getoption("--nightly"):
        return
    left_out = [item for item in items if item.get_closest_marker("nightly")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def most_at_night(values: Iterable[Any], by_day: Sequence[Any]) -> list[Any]:
    """The values of a test: `by_day` always, the others in the night."""
    return [
        value if value in by_day else pytest.param(value, marks=pytest.mark.nightly)
        for value in values
    ]
