"""What runs in the container, as whom, and behind which doors."""

from tests.harness.waiting import wait_until
from tests.image.contained import POSTMASTER, Contained
from tests.platform.containers import execute

DATABASE_UID, API_UID = 5432, 5433
LISTENING = "0A"
DOCKER_DNS = "0B00007F"


def test_pid_1_is_the_supervisor(shared: Contained) -> None:
    first = execute(shared.container, "cat", "/proc/1/cmdline").stdout
    assert "appliance\0up" in first


def test_postgres_and_the_api_run_as_their_own_users(shared: Contained) -> None:
    postgres = [
        entry for entry in shared.processes() if entry.command.startswith((POSTMASTER, "postgres:"))
    ]
    assert len(postgres) > 1
    assert {entry.uid for entry in postgres} == {DATABASE_UID}
    api = [
        entry
        for entry in shared.processes()
        if "appliance.supervision.entry_points api" in entry.command
    ]
    assert api
    assert {entry.uid for entry in api} == {API_UID}


def test_only_the_supervisor_is_root(shared: Contained) -> None:
    assert [entry.command.split()[-2:] for entry in shared.processes() if entry.uid == 0] == [
        [*shared.processes()[0].command.split()[-2:]]
    ]


def test_the_only_open_port_is_80(shared: Contained) -> None:
    assert {port for address, port in listening(shared) if address != DOCKER_DNS} == {80}


def test_the_api_user_is_an_ordinary_role(shared: Contained) -> None:
    attributes = shared.sql(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
        "FROM pg_roles WHERE rolname = 'app'"
    )
    assert attributes == "f|f|f|f|f"


def test_the_api_user_cannot_read_secrets_or_the_cluster(shared: Contained) -> None:
    for folder in ("/storage/secrets", "/storage/pgdata"):
        assert execute(shared.container, "ls", folder, user="5433:5433").code != 0


def test_the_api_user_cannot_become_another_role(shared: Contained) -> None:
    command = ["/opt/appliance/postgresql/bin/psql", "-h", "/storage/run", "-d", "appliance"]
    for role in ("postgres", "appliance"):
        result = execute(shared.container, *command, "-U", role, "-c", "SELECT 1", user="5433:5433")
        assert result.code != 0
        assert "Peer authentication failed" in result.stderr


def test_orphans_are_reaped(shared: Contained) -> None:
    execute(shared.container, "sh", "-c", "(sh -c 'exit 0' &) ; exit 0")
    execute(shared.container, "sh", "-c", "setsid sh -c 'setsid true &' &")
    wait_until(lambda: not zombies(shared), "no zombies", 10)


def test_both_mounts_are_the_same_storage(shared: Contained) -> None:
    inodes = execute(shared.container, "stat", "-c", "%i", "/storage", "/rails/storage").stdout
    assert len(set(inodes.split())) == 1


def zombies(appliance: Contained) -> list[str]:
    """Processes that ended and that nobody asked about."""
    return [entry.command for entry in appliance.processes() if entry.state.startswith("Z")]


def listening(appliance: Contained) -> set[tuple[str, int]]:
    """Addresses (as the kernel writes them) and ports that something listens on."""
    found = set()
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in execute(appliance.container, "cat", file).stdout.splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING:
                address, _, port = fields[1].partition(":")
                found.add((address, int(port, 16)))
    return found
