"""Fixtures: the engine, the platform, an appliance that is up."""

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.harness.fast import skip_if_fast
from tests.image import engine as engines
from tests.image.contained import Contained
from tests.image.engine import Engine
from tests.platform import Application, Platform

Deploy = Callable[..., Contained]


class NoEngine(pytest.skip.Exception):  # type: ignore[name-defined, misc]  # an attribute
    """Skips a test for the one reason that all tests here share."""


@pytest.fixture(scope="session")
def engine() -> Engine:
    skip_if_fast()
    try:
        return engines.find()
    except engines.NoEngineError as error:
        if engines.required():
            pytest.fail(str(error), pytrace=False)
        raise NoEngine(str(error)) from error


@pytest.fixture(scope="session")
def platform(engine: Engine) -> Platform:
    # Parallel test processes need a server each: its helper containers have fixed names.
    return Platform(engine.client, "once" + os.environ.get("PYTEST_XDIST_WORKER", ""))


@pytest.fixture(scope="module")
def shared(platform: Platform, engine: Engine) -> Iterator[Contained]:
    """An appliance with no settings, for tests that only look at it."""
    with_removal = _deployer(platform, engine)
    yield next(with_removal)()
    next(with_removal, None)


@pytest.fixture
def deploy(platform: Platform, engine: Engine) -> Iterator[Deploy]:
    """Deploy appliances with the settings that are given; all are removed at the end."""
    yield from _deployer(platform, engine)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report all tests that have no engine in one line."""
    report = yield
    if report.skipped and call.excinfo and call.excinfo.errisinstance(NoEngine):
        report.longrepr = ("tests/image", None, str(call.excinfo.value))  # type: ignore[assignment]  # as pytest shows a skip
    return report


def _deployer(platform: Platform, engine: Engine) -> Iterator[Deploy]:
    deployed: list[Application] = []

    def deploy(**settings: Any) -> Contained:
        app = Application(f"test-{secrets.token_hex(3)}", engine.image, **settings)
        deployed.append(app)
        platform.deploy(app)
        return Contained(platform, app)

    yield deploy
    for app in deployed:
        platform.remove(app)
