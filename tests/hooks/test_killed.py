"""post-restore is killed anywhere: no start in between, and the next run makes the same of it."""

import pytest

from appliance.storage.paths import Storage
from tests.harness import locks
from tests.harness.waiting import wait_until
from tests.hooks.conftest import Copy
from tests.hooks.scene import books, python, refusal, restore

TORN = "is a copy that was made while its database ran"
BROKEN_OFF = "was broken off, so there is no whole cluster"


def kill_at(storage: Storage, *point: str) -> None:
    """Run the hook until it is killed there, and wait until nothing of it runs any more."""
    killed = python(storage, "dying", *point)
    assert killed.code == -9, f"it did not come to {point}: {killed}"
    wait_until(lambda: locks.is_free(storage), "nothing of it runs")


def check_made_whole(copy: Copy, source: str) -> None:
    """Another run works; exactly what must be there is there, and nothing else is left."""
    assert restore(copy.storage) == source
    assert books(copy.storage) == copy.expected
    left = {path.name for path in copy.storage.root.iterdir()}
    assert left == {"backups", "pgdata", "run", "secrets"}
    assert not copy.storage.restoring.exists()


@pytest.mark.parametrize(
    ("point", "said"),
    [
        pytest.param(("os.rename", "restoring.json"), TORN, id="before anything is changed"),
        pytest.param(("os.mkdir", "pgdata.new"), BROKEN_OFF, id="when it has begun"),
        pytest.param(
            ("subprocess.Popen", "initdb'", "pgdata.new/PG_VERSION"),
            BROKEN_OFF,
            id="while initdb runs",
        ),
        pytest.param(
            ("subprocess.Popen", "/bin/pg_restore"), BROKEN_OFF, id="before the data is loaded"
        ),
        pytest.param(("subprocess.Popen", "/bin/pg_dump"), BROKEN_OFF, id="before it is compared"),
        pytest.param(
            ("subprocess.Popen", "--sync-only"), BROKEN_OFF, id="when its Postgres is stopped"
        ),
        pytest.param(("os.rename", "pgdata.replaced"), BROKEN_OFF, id="before the two renames"),
        pytest.param(("os.rename", "pgdata.new'"), BROKEN_OFF, id="between the two renames"),
        pytest.param(("os.remove", "restoring.json"), BROKEN_OFF, id="after the two renames"),
        pytest.param(
            ("os.remove", "hook-window.json"), TORN, id="before the dump is marked as used"
        ),
        pytest.param(("os.rename", "closed.json"), TORN, id="while the dump is marked as used"),
    ],
)
def test_a_restore_of_a_dump_that_was_killed(
    live_copy: Copy, point: tuple[str, ...], said: str
) -> None:
    storage = live_copy.storage
    kill_at(storage, *(part.replace("pgdata.new/", f"{storage.pgdata_new}/") for part in point))
    assert said in refusal(storage)
    check_made_whole(live_copy, "dump")


def test_a_restore_of_a_dump_that_was_killed_when_only_the_audit_is_left_to_do(
    live_copy: Copy,
) -> None:
    kill_at(live_copy.storage, "os.remove", "hook-failure.json")
    assert books(live_copy.storage) == live_copy.expected
    done = restore(live_copy.storage)
    assert done in {"dump", "pgdata"}
    assert books(live_copy.storage) == live_copy.expected


def test_a_restore_that_is_killed_again_and_again_ends_as_if_it_never_was(live_copy: Copy) -> None:
    for point in ("pgdata.new'", "pgdata.new'"):
        kill_at(live_copy.storage, "os.rename", point)
        assert BROKEN_OFF in refusal(live_copy.storage)
    check_made_whole(live_copy, "dump")


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(("subprocess.Popen", "listen_addresses"), id="before it is recovered"),
        pytest.param(("subprocess.Popen", "/bin/pg_dump"), id="before it is read"),
        pytest.param(("os.remove", "hook-failure.json"), id="when only the audit is left to do"),
    ],
)
def test_a_recovery_of_a_cluster_that_was_killed(paused_copy: Copy, point: tuple[str, ...]) -> None:
    kill_at(paused_copy.storage, *point)
    check_made_whole(paused_copy, "pgdata")
