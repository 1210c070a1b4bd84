"""A normal user restores its own copy, and may not touch another's."""

import os
import shutil
from pathlib import Path

import pytest

from appliance.system import system_users
from tests.harness.processes import descendants
from tests.harness.requirements import needs_root
from tests.harness.waiting import wait_until
from tests.hooks.conftest import Copy
from tests.hooks.scene import Hook, books, post_restore, restore
from tests.postgres.fingerprint import fingerprint

pytestmark = [
    needs_root,
    pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv"),
]


def as_user() -> tuple[str, ...]:
    """A user that may search closed folders (this checkout may lie in one) and nothing else."""
    user = system_users.detect().database
    search = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    numbers = (f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups")
    return ("setpriv", *numbers, *search, "--bounding-set=-all,+dac_read_search")


def give(copy: Copy) -> None:
    """Let all of it belong to that user."""
    user = system_users.detect().database
    for path in (copy.storage.root, *copy.storage.root.rglob("*")):
        os.chown(path, user.uid, user.gid)


@pytest.mark.parametrize("kind", ["dump", "pgdata"])
def test_a_normal_user_restores_its_own_copy(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    copy: Copy = request.getfixturevalue("live_copy" if kind == "dump" else "paused_copy")
    give(copy)
    assert restore(copy.storage, *as_user(), HOME="/nonexistent") == kind
    user = system_users.detect().database.uid
    owners = {path.lstat().st_uid for path in copy.storage.root.rglob("*")}
    assert owners == {user}
    assert books(copy.storage) == copy.expected


def test_a_copy_of_another_user_is_refused_and_left_as_it_was(live_copy: Copy) -> None:
    for path in (live_copy.storage.root, *live_copy.storage.root.rglob("*")):
        os.chown(path, 0, 0)
    before = fingerprint(live_copy.storage.root)
    refused = post_restore(live_copy.storage, *as_user())
    assert refused.code == 4
    assert "Give this user write access to it" in refused.error
    assert "Traceback" not in refused.error
    assert fingerprint(live_copy.storage.root) == before


def test_as_root_nothing_of_the_restores_postgres_runs_as_root(live_copy: Copy) -> None:
    hook = Hook("post-restore", live_copy.storage)
    seen = wait_until(
        lambda: [p for p in descendants(hook.process.pid) if "/bin/postgres -D" in p.command],
        "its Postgres runs",
    )
    # A child that was forked just now is root until it is another program.
    assert {process.uid for process in seen} == {system_users.detect().database.uid}
    assert hook.end().code == 0
