"""What agents say to each other, when the other side is rude, slow or gone."""

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.handoff import channel
from appliance.handoff.channel import Channel, ChannelClosed
from appliance.handoff.messages import Accepted, Busy, Go, NotUnderstood, Request, Stopping
from appliance.storage.paths import SOCKET_PATH_LIMIT

NONSENSE = (
    b"nonsense\n",
    b"\n",
    b"\xff\xfe\n",
    b"[]\n",
    b'"claim"\n',
    b"{}\n",
    b'{"type": 1}\n',
    b'{"type": "claim"\n',
    b"[" * 8000 + b"\n",
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A conversation: our side of it, and the other's bare socket."""
    ours, theirs = socket.socketpair()
    with Channel(ours) as conversation, theirs:
        yield conversation, theirs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an agent listens: beyond what a socket's address can hold."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    assert len(str(folder / "steward.sock")) > SOCKET_PATH_LIMIT
    return folder / "steward.sock"


def test_messages_come_whole_however_they_are_cut(ends: tuple[Channel, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b'{"type": "go"}\n{"type": "stopping", "at": 2.0}\n{"ty')
    assert ours.receive(5) == Go()
    assert ours.receive(5) == Stopping(2.0)
    theirs.sendall(b'pe": "busy"}\n')
    assert ours.receive(5) == Busy()


@pytest.mark.parametrize("said", NONSENSE)
def test_what_is_no_message_ends_the_conversation(
    ends: tuple[Channel, socket.socket], said: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(said)
    with pytest.raises(ChannelClosed, match="not a message"):
        ours.receive(5)


def test_a_message_without_an_end_is_not_collected_for_ever(
    ends: tuple[Channel, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(b"x" * 20000)
    with pytest.raises(ChannelClosed, match="without an end"):
        ours.receive(5)


@pytest.mark.parametrize("said", [b"", b'{"type": "half'])
def test_the_other_side_may_leave_at_any_time(
    ends: tuple[Channel, socket.socket], said: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(said)
    theirs.close()
    with pytest.raises(ChannelClosed):
        ours.receive(5)
    with pytest.raises(ChannelClosed):
        ours.send(Request("a1b2c3d4e5f6"))


def test_what_was_said_before_the_other_side_left_is_heard(
    ends: tuple[Channel, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(b'{"type": "stopping", "at": 1.5}\n')
    theirs.close()
    assert ours.receive(5) == Stopping(1.5)
    with pytest.raises(ChannelClosed):
        ours.receive(5)


@pytest.mark.parametrize("timeout_s", [0.0, 0.2])
def test_silence_is_waited_for_no_longer_than_allowed(
    ends: tuple[Channel, socket.socket], timeout_s: float
) -> None:
    ours, theirs = ends
    theirs.sendall(b'{"type": ')
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        ours.receive(timeout_s)
    assert timeout_s <= time.monotonic() - started < timeout_s + 5
    theirs.sendall(b'"late"}\n')
    assert ours.receive(5) == NotUnderstood("late"), "nothing was lost"


def test_one_who_says_a_letter_at_a_time_gets_no_more_time(
    ends: tuple[Channel, socket.socket],
) -> None:
    ours, theirs = ends
    over = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.02):
                theirs.sendall(b" ")

    dripping = threading.Thread(target=drip)
    dripping.start()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        ours.receive(0.3)
    assert time.monotonic() - started < 5
    over.set()
    dripping.join()


def test_a_conversation_over_a_path_that_is_too_long_for_a_socket(path: Path) -> None:
    with channel.listen(path) as listener, channel.connect(path) as caller:
        caller.send(Request("a1b2c3d4e5f6"))
        accepted = channel.accept(listener, 5)
        assert accepted
        with accepted[0] as called:
            assert accepted[1] == Request("a1b2c3d4e5f6")
            called.send(Accepted())
            assert caller.receive(5) == Accepted()


def test_only_its_own_user_may_speak_to_it_and_what_a_dead_one_left_is_replaced(path: Path) -> None:
    channel.listen(path).close()
    stale = path.stat()
    assert stat.S_ISSOCK(stale.st_mode)
    with pytest.raises(ConnectionRefusedError):
        channel.connect(path)
    with channel.listen(path) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with channel.connect(path) as caller:
            caller.send(Go())
            accepted = channel.accept(listener, 5)
            assert accepted
            accepted[0].close()


def test_where_nobody_listens_there_is_nobody_to_speak_to(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        channel.connect(path)
    with pytest.raises(FileNotFoundError):
        channel.connect(path.parent / "no folder" / "steward.sock")
    channel.tell(path, Go())
    channel.listen(path).close()
    channel.tell(path, Go())


def test_what_is_told_is_heard_after_the_teller_has_left(path: Path) -> None:
    with channel.listen(path) as listener:
        channel.tell(path, Stopping(2.5))
        accepted = channel.accept(listener, 5)
        assert accepted
        assert accepted[1] == Stopping(2.5)
        accepted[0].close()


def test_nobody_comes_and_the_wait_is_over(path: Path) -> None:
    with channel.listen(path) as listener:
        for timeout_s in (-1.0, 0.0, 0.2):
            started = time.monotonic()
            assert channel.accept(listener, timeout_s) is None
            assert timeout_s <= time.monotonic() - started < 5


@pytest.mark.parametrize("said", [None, b"", *NONSENSE[:2]])
def test_a_caller_that_says_no_message_is_nobody_and_does_not_hold_up_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes | None
) -> None:
    monkeypatch.setattr(channel, "CONNECT_LIMIT_S", 0.3)
    with channel.listen(path) as listener, channel.connect(path) as rude:
        if said is not None:
            rude._connection.sendall(said)
            rude.close()
        channel.tell(path, Go())
        assert channel.accept(listener, 5) is None
        accepted = channel.accept(listener, 5)
        assert accepted
        assert accepted[1] == Go()
        accepted[0].close()


def test_a_mailbox_keeps_what_nobody_has_read_and_gives_one_message_at_a_time() -> None:
    written, read = channel.mailbox()
    with written, read, Channel(socket.socket(fileno=os.dup(read.fileno()))) as childs:
        written.send(Stopping(1.0))
        written.send(Stopping(2.0))
        assert childs.receive(5) == Stopping(1.0)
        childs.close()
        assert read.receive(5) == Stopping(2.0)
        with pytest.raises(TimeoutError):
            read.receive(0)


def test_whoever_writes_into_a_full_mailbox_does_not_wait() -> None:
    written, read = channel.mailbox()
    with written, read:
        with pytest.raises(ChannelClosed):
            _write_for_ever(written)
        assert read.receive(5) == Stopping(1.0)


def _write_for_ever(written: Channel) -> None:
    while True:
        written.send(Stopping(1.0))
