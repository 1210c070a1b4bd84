"""It fits into what it is given, and uses what it is given."""

from tests.image.conftest import Deploy
from tests.image.contained import Contained
from tests.platform.containers import execute
from tests.scenarios.bookkeeper import Bookkeeper

PARALLEL = (
    "SET min_parallel_table_scan_size = 0",
    "SET parallel_setup_cost = 0",
    "SET parallel_tuple_cost = 0",
    "SET max_parallel_workers_per_gather = 2",
    "SET work_mem = '64MB'",
    "SET enable_mergejoin = off",
    "SET enable_nestloop = off",
)
JOIN = "SELECT count(*) FROM big a JOIN big b ON a.id = b.id AND a.text = b.text"


def test_a_parallel_hash_join_of_a_million_rows_survives_64_mb_of_shared_memory(
    deploy: Deploy,
) -> None:
    appliance = deploy(cpus=2)
    assert (
        execute(appliance.container, "df", "-m", "--output=size", "/dev/shm").stdout.split()[1]
        == "64"
    )
    appliance.sql(
        "CREATE TABLE big AS "
        "SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 1000000) AS g",
        "ANALYZE big",
    )
    assert "Parallel Hash" in appliance.sql(*PARALLEL, f"EXPLAIN {JOIN}")
    assert appliance.sql(*PARALLEL, JOIN) == "1000000"


def test_it_works_under_load_in_256_mib(deploy: Deploy) -> None:
    appliance = deploy(memory_mib=256)
    bookkeeper = Bookkeeper(appliance)
    bookkeeper.record(400, clients=4)
    assert len(bookkeeper.recorded()) == 400
    state = appliance.container.attrs["State"]
    assert state["Running"]
    assert not state["OOMKilled"]
    assert appliance.container.attrs["RestartCount"] == 0
    assert oom_kills(appliance) == 0
    assert "signal 9" not in appliance.log


def test_it_uses_the_memory_that_it_is_given(deploy: Deploy) -> None:
    small, large = deploy(memory_mib=256), deploy(memory_mib=8192)
    assert shared_buffers(large) > 4 * shared_buffers(small)


def shared_buffers(appliance: Contained) -> int:
    """Postgres' own memory in blocks of 8 KiB."""
    return int(appliance.sql("SELECT setting FROM pg_settings WHERE name = 'shared_buffers'"))


def oom_kills(appliance: Contained) -> int:
    """How many processes of the container the kernel killed for want of memory."""
    script = "cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null"
    lines = execute(appliance.container, "sh", "-c", script).stdout.splitlines()
    [count] = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
    return int(count)
