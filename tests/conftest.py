"""Fixtures that every test may use."""

import compileall
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import appliance as program
from tests.harness import prepared
from tests.harness.appliance import Appliance, kill_all, waiting
from tests.harness.examples import register_profiles
from tests.harness.fast import want_only_fast
from tests.harness.folders import short_folder
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until

pytest_plugins = [
    "tests.harness.longest_first",
    "tests.harness.nightly",
    "tests.harness.time_limit",
]

Prepare = Callable[[Path], Path]

register_profiles()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make check`."""
    parser.addoption("--fast", action="store_true", help="skip tests that start programs of ours")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what all test processes share. The workers of xdist find it prepared."""
    _let_ctrl_c_be_tried()
    if hasattr(config, "workerinput"):
        return
    if config.getoption("--fast"):
        want_only_fast()
    # The users that the programs run as may not write there: they would compile at each start.
    compileall.compile_dir(Path(program.__file__).parent, quiet=2)
    shared = ExitStack()
    shared.enter_context(prepared.shared_by_all_processes())
    config.add_cleanup(shared.close)


def _let_ctrl_c_be_tried() -> None:
    """What a shell starts in the background ignores SIGINT, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def storage_folder() -> Iterator[Path]:
    """A short path for a storage (a socket's path is limited), which every user may enter."""
    with short_folder() as folder:
        yield folder / "s"


@pytest.fixture
def prepare(request: pytest.FixtureRequest) -> Prepare:
    """See to it that there is a storage in a place, unless the test is about the first start."""
    first_start = request.node.get_closest_marker("first_start")
    return (lambda root: root) if first_start else prepared.copy_to


@pytest.fixture
def make_appliance(storage_folder: Path, prepare: Prepare) -> Iterator[Callable[..., Appliance]]:
    """Make appliances on this test's one storage (or another); all are killed at the end."""
    made: list[Appliance] = []

    def make(storage: Path | None = None, **variables: str) -> Appliance:
        made.append(Appliance(prepare(storage or storage_folder), **variables))
        return made[-1]

    yield make
    kill_all(made)


@pytest.fixture
def appliance(make_appliance: Callable[..., Appliance]) -> Appliance:
    """One appliance that is up."""
    return make_appliance().start().wait_until_up()


@pytest.fixture
def pair(make_appliance: Callable[..., Appliance]) -> tuple[Appliance, Appliance]:
    """The owner and its standby, both up. The owner came second and requested the database."""
    standby = make_appliance().start().wait_until_up()
    owner = make_appliance().start().wait_until_up()
    wait_until(lambda: waiting(standby), "the standby waits in the lock")
    return owner, standby


@pytest.fixture
def make_program(
    storage_folder: Path, prepare: Prepare
) -> Iterator[Callable[..., PostgresProgram]]:
    """Make `postgres` programs without a supervisor on this test's one storage."""
    made: list[PostgresProgram] = []

    def make(root: Path | None = None, **variables: str) -> PostgresProgram:
        made.append(PostgresProgram(prepare(root or storage_folder), **variables))
        return made[-1]

    yield make
    kill_all(made)
