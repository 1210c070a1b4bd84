"""How agents speak to each other: lines of JSON over a socket in the container's folder.

A message is courtesy, never the truth: whoever holds the lock owns the database.
"""

import json
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from appliance.handoff import messages
from appliance.handoff.messages import Message
from appliance.system.system_users import SystemUsers

CONNECT_LIMIT_S = 2.0

_LONGEST_MESSAGE_BYTES = 8192


class ChannelClosed(Exception):  # noqa: N818 - it says a state of the other side
    """The other side is gone, or does not speak this language."""


class Channel:
    """One conversation. `close` it, or use it in a `with` statement.

    No message may be longer than `longest_bytes`.
    """

    def __init__(
        self, connection: socket.socket, longest_bytes: int = _LONGEST_MESSAGE_BYTES
    ) -> None:
        self._connection = connection
        self._received = b""
        self._longest_bytes = longest_bytes

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._connection.fileno()

    def close(self) -> None:
        """End the conversation."""
        self._connection.close()

    def send(self, message: Message) -> None:
        """Say something; raises ChannelClosed if nobody listens any more."""
        line = json.dumps(messages.to_json(message)) + "\n"
        try:
            self._connection.sendall(line.encode())
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def reply(self, message: Message) -> None:
        """Say something to somebody who may be gone, which does not matter then."""
        with suppress(ChannelClosed):
            self.send(message)

    def receive(self, timeout_s: float) -> Message:
        """Wait for the next message.

        Raises TimeoutError, or ChannelClosed if the other side left or said no message.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._received:
            if len(self._received) > self._longest_bytes:
                raise ChannelClosed("a message without an end")
            self._received += self._read(deadline)
        line, _, self._received = self._received.partition(b"\n")
        return _parse(line)

    def peer(self) -> int:
        """The user at the other end, by number; the kernel vouches for it (unix(7))."""
        credentials = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", credentials)[1])

    def is_open(self) -> bool:
        """Whether the other side is still there."""
        if not select.select([self._connection], [], [], 0)[0]:
            return True
        try:
            return bool(self._connection.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _read(self, deadline: float) -> bytes:
        self._connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            read = self._connection.recv(_LONGEST_MESSAGE_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if not read:
            raise ChannelClosed("the other side ended the conversation")
        return read


def listen(path: Path, users: SystemUsers | None = None) -> socket.socket:
    """Listen at `path`, where nobody else does; what an earlier process left there is replaced.

    Only our own user may connect. Root gives it to the database's user instead, and lets the
    API's group connect too; `Channel.peer` says who does.
    """
    path.unlink(missing_ok=True)
    shared = users is not None and os.geteuid() == 0
    listener = socket.socket(socket.AF_UNIX)
    # From the first moment on, and never by its name: the folder belongs to another user.
    previous = os.umask(0o117 if shared else 0o177)
    try:
        _at(path, listener.bind)
    finally:
        os.umask(previous)
    if users is not None and shared:
        os.chown(path, users.database.uid, users.api.gid, follow_symlinks=False)
    listener.listen(16)
    return listener


def connect(path: Path, longest_bytes: int = _LONGEST_MESSAGE_BYTES) -> Channel:
    """Speak to whoever listens at `path`; raises OSError if nobody does."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(CONNECT_LIMIT_S)
    try:
        _at(path, connection.connect)
    except OSError:
        connection.close()
        raise
    return Channel(connection, longest_bytes)


def mailbox() -> tuple[Channel, Channel]:
    """The end that is written to, which never waits, and the end that is read.

    Whoever holds the second, this process or a child, reads the next message and no more: what a
    child leaves is there for the next one.
    """
    written, read = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    written.setblocking(False)
    return Channel(written), Channel(read)


def tell(path: Path, message: Message) -> None:
    """Say one thing to whoever listens at `path`, if somebody does."""
    with suppress(OSError), connect(path) as channel:
        channel.reply(message)


def accept(listener: socket.socket, timeout_s: float) -> tuple[Channel, Message] | None:
    """Wait for somebody to speak first; None if nobody did, or what was said is no message."""
    if not select.select([listener], [], [], max(0.0, timeout_s))[0]:
        return None
    channel = Channel(listener.accept()[0])
    try:
        return channel, channel.receive(CONNECT_LIMIT_S)
    except (ChannelClosed, TimeoutError):
        channel.close()
        return None


def _at(path: Path, action: Callable[[str], None]) -> None:
    # A socket's path may have 107 bytes only; by way of its folder it is always short.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        action(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _parse(line: bytes) -> Message:
    try:
        return messages.from_json(json.loads(line))
    except (ValueError, RecursionError) as error:
        raise ChannelClosed("not a message") from error
