"""The secret that nobody set: made once, the same for all, closed to others."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from appliance.errors import StorageError
from appliance.settings import Settings, generated_secrets
from appliance.storage.paths import Storage
from appliance.system import system_users
from tests.harness import processes
from tests.harness.appliance import Appliance

CHILD = """
import sys
from pathlib import Path
from appliance.settings import Settings, generated_secrets
from appliance.storage.paths import Storage
print("ready", flush=True)
sys.stdin.readline()
storage = Storage(Path(sys.argv[1]))
print(generated_secrets.complete(Settings(), storage).secret_key_base)
"""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "s")
    made.prepare(system_users.detect())
    return made


def secret_file(storage: Storage) -> Path:
    return storage.secrets / "secret_key_base"


def test_processes_that_make_it_at_once_agree(storage: Storage) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD, storage.root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    told = {child.communicate(timeout=30)[0].strip() for child in children}
    assert told == {secret_file(storage).read_text().strip()}


def test_it_is_kept_over_restarts_and_closed_to_others(storage: Storage) -> None:
    first = generated_secrets.complete(Settings(), storage)
    assert generated_secrets.complete(Settings(), storage) == first
    assert secret_file(storage).stat().st_mode & 0o777 == 0o600
    assert storage.secrets.stat().st_mode & 0o777 == 0o700


def test_a_secret_that_was_set_wins_and_nothing_is_written(storage: Storage) -> None:
    given = Settings(secret_key_base="mine")
    assert generated_secrets.complete(given, storage) is given
    assert not secret_file(storage).exists()


def test_a_secret_file_left_empty_by_a_crash_is_written_anew(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generated_secrets, "_WRITING_TAKES_S", 0.05)
    secret_file(storage).touch()
    made = generated_secrets.complete(Settings(), storage).secret_key_base
    assert made
    assert secret_file(storage).read_text().strip() == made


def test_a_secret_file_that_holds_something_else_is_refused_with_a_next_step(
    storage: Storage,
) -> None:
    secret_file(storage).write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError) as caught:
        generated_secrets.complete(Settings(), storage)
    assert str(secret_file(storage)) in caught.value.message
    assert caught.value.hint


@pytest.mark.first_start
def test_no_secret_is_in_the_log_or_in_a_command_line(
    make_appliance: Callable[..., Appliance],
) -> None:
    appliance = make_appliance().start().wait_until_up()
    secret = secret_file(appliance.storage).read_text().strip()
    key = appliance.run("keys", "create", "hidden").stdout.splitlines()[-1]
    headers = {"Authorization": f"Bearer {key}"}
    answer = requests.get(appliance.url + "/api/accounts", headers=headers, timeout=30)
    assert answer.status_code == 200
    commands = "\n".join(process.command for process in processes.everyone())
    for hidden in (secret, key, key.split("_", 2)[2]):
        assert hidden not in appliance.log
        assert hidden not in commands


@pytest.mark.first_start
def test_a_bad_secret_ends_up_with_code_3_and_is_not_in_the_log(
    make_appliance: Callable[..., Appliance],
) -> None:
    broken = make_appliance(SECRET_KEY_BASE="hidden-4711\nx", PORT="none").start()
    assert broken.wait() == 3
    assert "SECRET_KEY_BASE=(not shown)" in broken.log
    assert "PORT='none'" in broken.log
    assert "hidden-4711" not in broken.log
