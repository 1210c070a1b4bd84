"""What cannot be kept up ends the whole with a code and a line that name the reason."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

Make = Callable[..., Appliance]


@pytest.mark.first_start
def test_a_taken_port_ends_it_with_3_and_names_the_port(make_appliance: Make) -> None:
    running = make_appliance()
    with socket.create_server(("", running.port)):
        assert running.start().wait() == 3
    assert f"Port {running.port} is taken by another program. Choose another one" in running.log
    assert "api cannot be kept running; stopping everything" in running.log
    assert processes.postgres_processes(running.storage.pgdata) == []


def test_a_broken_client_migration_ends_it_with_5_and_names_file_and_reason(
    make_appliance: Make, tmp_path: Path
) -> None:
    (tmp_path / "0001_broken.sql").write_text("CREATE TABLE mine (id nonsense);")
    running = make_appliance(CLIENT_MIGRATIONS_DIR=str(tmp_path)).start()
    assert running.wait() == 5
    assert "The client migration 0001_broken.sql failed" in running.log
    assert 'type "nonsense" does not exist' in running.log
    assert "agent cannot be kept running; stopping everything" in running.log
    assert "database system is shut down" in running.log


def test_a_cluster_made_unusable_while_it_runs_ends_it_with_4_after_a_crash(
    appliance: Appliance,
) -> None:
    master = appliance.postmaster()
    assert master
    appliance.storage.pgdata.chmod(0o777)
    processes.kill(master.pid)
    assert appliance.wait() == 4
    assert "has the permissions 0777" in appliance.log
    assert "postgres cannot be kept running; stopping everything" in appliance.log


def test_a_program_that_dies_again_and_again_ends_it(appliance: Appliance) -> None:
    killed: list[int] = []
    for _ in range(5):
        killed.append(wait_until(lambda: agent(appliance, killed), "it is started again"))
        processes.kill(killed[-1])
    assert appliance.wait() == 1
    assert "agent ended signal=9" in appliance.log
    assert "agent cannot be kept running; stopping everything" in appliance.log
    assert "database system is shut down" in appliance.log


@pytest.mark.first_start
def test_faults_of_the_environment_end_it_with_3_before_anything_is_made(
    make_appliance: Make, storage_folder: Path
) -> None:
    refused = make_appliance(NUM_CPUS="many", MAX_BODY_BYTES="1").start()
    assert refused.wait() == 3
    assert "NUM_CPUS='many'" in refused.log
    assert "MAX_BODY_BYTES='1'" in refused.log
    assert not storage_folder.exists()


def agent(running: Appliance, but_not: list[int]) -> int:
    # None for a moment whenever it replaces itself.
    program = running.programs().get("agent")
    return program.pid if program and program.pid not in but_not else 0
