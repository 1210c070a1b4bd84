"""What the image is, before anything of ours runs in it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.image.engine import Engine
from tests.platform.containers import Executed, execute, remove_by_force

Run = Callable[..., Executed]


@pytest.fixture(scope="module")
def config(engine: Engine) -> dict[str, Any]:
    configuration: dict[str, Any] = engine.client.images.get(engine.image).attrs["Config"]
    return configuration


@pytest.fixture(scope="module")
def run(engine: Engine) -> Iterator[Run]:
    """Run commands in a container that only sleeps, as a restore starts it."""
    container = engine.client.containers.create(
        engine.image, entrypoint=[], command=["sleep", "infinity"]
    )
    container.start()
    yield lambda *command, **options: execute(container, *command, **options)
    remove_by_force(container)


def test_it_declares_port_80_and_no_volume(config: dict[str, Any]) -> None:
    assert list(config["ExposedPorts"]) == ["80/tcp"]
    assert not config.get("Volumes")


def test_it_stops_by_sigterm_and_leaves_user_and_entrypoint_alone(config: dict[str, Any]) -> None:
    assert config["StopSignal"] == "SIGTERM"
    assert not config.get("User")
    assert not config.get("Entrypoint")
    assert config["Cmd"] == ["appliance", "up"]


def test_it_sets_none_of_our_settings(config: dict[str, Any]) -> None:
    names = {entry.partition("=")[0] for entry in config["Env"]}
    assert names == {"PATH", "LANG", "PYTHONDONTWRITEBYTECODE"}


def test_it_says_what_it_is(config: dict[str, Any]) -> None:
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "appliance"
    assert labels["org.opencontainers.image.version"] != "unknown"


def test_it_is_small(engine: Engine) -> None:
    assert engine.client.images.get(engine.image).attrs["Size"] < 200_000_000


def test_a_restore_finds_sleep_and_an_empty_place_for_its_data(run: Run) -> None:
    assert run("ls", "/data").code != 0
    assert run("ls", "/storage").code != 0


@pytest.mark.parametrize(("name", "number"), [("appliance-db", 5432), ("appliance-api", 5433)])
def test_users_have_fixed_numbers_and_no_shell(run: Run, name: str, number: int) -> None:
    entry = run("getent", "passwd", name).stdout.strip()
    assert entry == f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin"
    assert run("id", "-g", name).stdout.strip() == str(number)


def test_every_hook_is_executable_and_none_is_a_fake(run: Run) -> None:
    assert run("find", "/hooks", "-type", "f", "!", "-perm", "-111").stdout == ""


def test_postgres_finds_all_its_libraries(run: Run) -> None:
    # As the program that becomes Postgres sets it, for the extensions that use libpq.
    script = """export LD_LIBRARY_PATH=/opt/appliance/postgresql/lib
    for file in /opt/appliance/postgresql/bin/* /opt/appliance/postgresql/lib/*.so; do
        ldd "$file" | grep -q 'not found' && echo "$file"; done; true"""
    assert run("sh", "-c", script).stdout == ""


def test_all_modules_are_compiled_already(run: Run) -> None:
    script = """
    find /opt/appliance/lib -name '*.py' | while read -r file; do
        set -- "${file%/*}/__pycache__/$(basename "$file" .py)".*.pyc
        [ -e "$1" ] || echo "$file"; done"""
    assert run("sh", "-c", script).stdout == ""


def test_neither_pip_nor_authorities_of_the_build_are_left(run: Run) -> None:
    assert run("ls", "/usr/local/share/ca-certificates").stdout == ""
    assert run("python3", "-c", "import pip").code != 0
    assert run("/opt/appliance/bin/python", "-c", "import pip").code != 0


def test_a_one_shot_command_runs_instead_of_everything(run: Run) -> None:
    result = run("appliance", "gen-secret")
    assert result.code == 0, result
    assert len(result.stdout.strip()) == 44
