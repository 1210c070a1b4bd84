"""The 64 MB of /dev/shm that the platform gives: a parallel hash join must not need them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import postgres_program
from tests.harness.appliance import ending
from tests.harness.folders import DISK, short_folder
from tests.harness.postgres_program import PostgresProgram
from tests.harness.requirements import needs_namespaces

JOIN = "SELECT count(*), sum(a.id) FROM a JOIN b USING (id, text)"
MAKE = """
    CREATE TABLE a AS SELECT id, md5(id::text) AS text FROM generate_series(1, 1000000) AS id;
    CREATE TABLE b AS SELECT * FROM a;
    ANALYZE a, b;
"""


class InItsOwnMounts(PostgresProgram):
    """The same program, in a mount namespace where /dev/shm is small and full."""

    command = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        (
            "mount -t tmpfs -o size=64m none /dev/shm && "
            'fallocate -l 64m /dev/shm/ballast; exec "$0" "$@"'
        ),
        *postgres_program.COMMAND,
    )


@needs_namespaces
@pytest.mark.nightly
def test_a_parallel_hash_join_of_a_million_rows_works_though_shared_memory_is_full() -> None:
    with short_folder(DISK) as folder, ending(InItsOwnMounts(folder / "s")) as program:
        program.start().wait_until_serving().migrate()
        inside = Path(f"/proc/{program.pid}/root/dev/shm")
        assert os.statvfs(inside).f_bavail == 0
        with program.connect("appliance") as connection:
            connection.execute(MAKE)
            connection.execute("SET work_mem = '64MB'; SET enable_mergejoin = off")
            connection.execute("SET max_parallel_workers_per_gather = 2")
            connection.execute("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0")
            plan = connection.execute(f"EXPLAIN (FORMAT JSON) {JOIN}").fetchone()
            nodes = list(every_node(plan[0][0]["Plan"])) if plan else []
            hashes = [node for node in nodes if node["Node Type"] == "Hash"]
            assert any(n.get("Parallel Aware") for n in hashes), json.dumps(nodes, indent=1)
            assert any(n.get("Workers Planned", 0) > 0 for n in nodes)
            row = connection.execute(JOIN).fetchone()
        assert row == (1_000_000, 500_000_500_000)


def every_node(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from every_node(child)
