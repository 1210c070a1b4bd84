"""The agent between its tasks and beside them: who is heard, what waits, what ends with what."""

import os
import signal
import time

import pytest

from appliance.agent.agent import BACK_UP, HAND_OVER, JOIN, PRUNE, RECORD
from appliance.errors import ExitCode
from appliance.handoff.messages import (
    BackupRequest,
    Busy,
    JobStarted,
    Message,
    NotUnderstood,
    Refused,
    Request,
    Taken,
)
from appliance.storage import copy_detection
from appliance.storage.paths import Storage
from tests.agent.conftest import ScriptedAgent, Start
from tests.agent.scripted import READS_ITS_MAIL
from tests.harness import processes
from tests.harness.waiting import wait_until
from tests.hooks.marks import open_window

REQUEST = Request("a1a1a1a1a1a1", "new", "2.0")
TAKEN = Taken(at=1.0, prepared=2.0)


def backup(within_s: float = 60.0) -> BackupRequest:
    return BackupRequest("list", "tests", not_after=time.monotonic() + within_s)


def test_a_container_is_healthy_when_it_has_joined_and_not_before(scripted: ScriptedAgent) -> None:
    assert not scripted.directory.is_handoff_complete()
    scripted.join()


@pytest.mark.parametrize(
    ("code", "exit_code"), [(ExitCode.SCHEMA, 5), (ExitCode.DATABASE, 6), (1, 1)]
)
def test_when_joining_fails_the_agent_ends_with_its_exit_code(
    scripted: ScriptedAgent, code: int, exit_code: int
) -> None:
    scripted.end(JOIN, code)
    assert scripted.process.wait(30) == exit_code
    assert not scripted.directory.is_handoff_complete()


def test_when_joining_is_killed_the_agent_ends_too_so_that_it_is_tried_again(
    scripted: ScriptedAgent,
) -> None:
    os.kill(scripted.began(JOIN), signal.SIGKILL)
    assert scripted.process.wait(30) == ExitCode.FAILURE
    scripted.wait_for_line("the task join failed signal=9")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("task", [JOIN, HAND_OVER, BACK_UP])
def test_its_tasks_end_with_it(scripted: ScriptedAgent, task: str, number: signal.Signals) -> None:
    if task != JOIN:
        message: Message = REQUEST if task == HAND_OVER else backup()
        scripted.join().call(message)
    child = scripted.began(task)
    scripted.process.send_signal(number)
    assert scripted.process.wait(30) == -number
    wait_until(lambda: not processes.alive(child), "its task is gone")


@pytest.mark.parametrize("task", [JOIN, HAND_OVER, RECORD])
def test_while_the_database_moves_another_requester_is_told_at_once(
    scripted: ScriptedAgent, task: str
) -> None:
    if task != JOIN:
        scripted.join().call(REQUEST if task == HAND_OVER else TAKEN)
        scripted.began(task)
    before = scripted.count(HAND_OVER)
    with scripted.call(REQUEST) as another:
        assert another.receive(30) == Busy()
    assert scripted.count(HAND_OVER) == before
    scripted.end(task)
    with scripted.call(REQUEST):
        scripted.began(HAND_OVER, before + 1)


def test_a_task_that_fails_is_in_the_log_and_the_agent_goes_on(scripted: ScriptedAgent) -> None:
    with scripted.join().call(REQUEST):
        os.kill(scripted.began(HAND_OVER), signal.SIGKILL)
        scripted.wait_for_line("the task hand-over failed signal=9")
    with scripted.call(REQUEST):
        scripted.began(HAND_OVER, 2)
        scripted.end(HAND_OVER)


def test_a_requester_hears_that_its_task_was_killed(scripted: ScriptedAgent) -> None:
    with scripted.join().call(REQUEST) as requester:
        os.kill(scripted.began(HAND_OVER), signal.SIGKILL)
        wait_until(lambda: not requester.is_open(), "the conversation is over")


def test_a_request_in_another_form_is_refused_in_words(scripted: ScriptedAgent) -> None:
    with scripted.join().call(NotUnderstood("claim")) as requester:
        assert requester.receive(30) == Refused("its request could not be understood")


def test_what_it_does_not_understand_is_ignored(scripted: ScriptedAgent) -> None:
    scripted.join().tell(NotUnderstood("hello"))
    with scripted.call(REQUEST):
        scripted.began(HAND_OVER)


def test_what_postgres_tells_goes_to_the_task_that_waits_for_it(scripted: ScriptedAgent) -> None:
    scripted.tell(TAKEN)
    scripted.end(JOIN, READS_ITS_MAIL)
    scripted.wait_for_line(f"join has read {TAKEN}")
    wait_until(scripted.directory.is_handoff_complete, "it has joined")
    scripted.tell(NotUnderstood("hello"))
    assert scripted.count(RECORD) == 0


@pytest.mark.parametrize("task", [JOIN, HAND_OVER])
def test_what_postgres_tells_while_nobody_waits_for_it_is_recorded_afterwards(
    scripted: ScriptedAgent, task: str
) -> None:
    if task == HAND_OVER:
        scripted.join().call(REQUEST)
        scripted.began(HAND_OVER)
    for at in (1.0, 2.0):
        scripted.tell(Taken(at, at))
    assert scripted.count(RECORD) == 0
    scripted.end(task)
    for at in (1, 2):
        scripted.began(RECORD, at)
        scripted.wait_for_line(f"[{Taken(float(at), float(at))}]")
        scripted.end(RECORD)


def test_a_backup_waits_until_the_database_has_moved_unless_it_is_too_late(
    scripted: ScriptedAgent,
) -> None:
    with scripted.call(backup()) as caller, scripted.call(backup(within_s=-1)) as late:
        with scripted.call(REQUEST) as requester:
            # Heard after the two others.
            assert requester.receive(30) == Busy()
        assert scripted.count(BACK_UP) == 0
        scripted.join()
        assert caller.receive(30) == JobStarted()
        wait_until(lambda: not late.is_open(), "nobody begins it")
        scripted.began(BACK_UP)
        scripted.end(BACK_UP)
        wait_until(lambda: not caller.is_open(), "it is over")
    assert scripted.count(BACK_UP) == 1


def test_two_backups_and_a_handoff_go_on_at_the_same_time(scripted: ScriptedAgent) -> None:
    scripted.join()
    callers = [scripted.call(backup()) for _ in range(2)]
    running = {scripted.began(BACK_UP, 1), scripted.began(BACK_UP, 2)}
    with scripted.call(REQUEST):
        running.add(scripted.began(HAND_OVER))
        assert len(running) == 3
        assert all(map(processes.alive, running))
    for caller in callers:
        caller.close()


def test_it_prunes_again_and_again(start: Start) -> None:
    made = start(prune_every_s=0.2).join()
    for times in (1, 2):
        made.began(PRUNE, times)
        made.end(PRUNE)


@pytest.mark.parametrize("task", [JOIN, HAND_OVER])
def test_a_copy_that_begins_during_a_task_is_seen(scripted: ScriptedAgent, task: str) -> None:
    storage = scripted.storage
    if task == HAND_OVER:
        scripted.join().call(REQUEST)
        scripted.began(HAND_OVER)
    else:
        copy_detection.renew_generation(storage)
    before = storage.generation_first.read_text()

    def marked() -> bool:
        return storage.generation_last.read_text() != before

    wait_until(marked, "the copy is marked as one of a running database")
    assert scripted.count(task) == 1
    wait_until(lambda: copy_detection.is_of_one_generation(storage), "both marks are written")


def test_the_dump_of_a_hook_that_is_copied_during_a_task_is_seen(
    storage: Storage, start: Start
) -> None:
    open_window(storage)
    for path in (storage.hook_backup, copy_detection.manifest_path(storage)):
        os.chown(path, storage.backups.stat().st_uid, -1)
    scripted = start()
    scripted.began(JOIN)
    copy_detection.manifest_path(storage).read_bytes()
    storage.hook_window.read_bytes()
    scripted.wait_for_line("the platform has copied the dump of its hook")
    assert not copy_detection.is_open(storage)
