"""What programs say on standard error, for the log: Postgres' own lines, and anybody's last words.

supervisord reads it from a pipe for each program. Nobody waits for room in the pipe, so of a flood
a part is lost; Postgres numbers its lines, and so it is known how many. See
docs/decisions/0022-postgres-lines-as-json.md.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from appliance.system.clock import epoch_timestamp_ms, timestamp_ms
from appliance.system.log import Level, Value, write_line, write_record
from appliance.system.process import PIPE_BYTES

# So much supervisord reads at once. A read that finds less has emptied the pipe, and as Postgres
# says a message with one write, it ends where a message ends.
READ_BYTES = 128 * 1024

# Seconds since 1970, process, and number of the line in this process (log_line_prefix).
_PREFIX = "%n %p %l "
_PREFIXED = re.compile(r"(\d{10}\.\d{3}) (\d{1,10}) (\d{1,18}) ([A-Z]+):  (.*)", re.DOTALL)

_LEVELS: dict[str, Level] = {
    "DEBUG": "debug",
    "WARNING": "warning",
    "ERROR": "error",
    "FATAL": "error",
    "PANIC": "error",
}
_DETAILS = {"DETAIL", "HINT", "QUERY", "CONTEXT", "LOCATION", "BACKTRACE", "STATEMENT"}

# More than run at once: beyond that, those that have ended are forgotten.
_PROCESSES = 1000


def postgres_options(log_format: str) -> dict[str, str]:
    """What Postgres must be started with, so that its lines are understood here."""
    return {"log_line_prefix": _PREFIX} if log_format == "json" else {}


class ProgramOutput:
    """Writes what one program says to the log, a record for each message."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._unfinished = b""
        self._message: _Message | None = None
        self._numbers: dict[int, int] = {}
        self._lost = 0

    def add(self, data: bytes) -> None:
        """Take what one read has found."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self._add_line(line)
        if len(data) < READ_BYTES:
            self._write_message()
        if len(self._unfinished) > PIPE_BYTES:
            self.end()
        self._tell_what_was_lost()

    def end(self) -> None:
        """Write what is left: nothing follows it."""
        if self._unfinished:
            self._add_line(self._unfinished)
        self._unfinished = b""
        self._write_message()

    def _add_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace")
        if prefixed := _PREFIXED.fullmatch(text):
            self._add_prefixed(*prefixed.groups())
        elif text.startswith("\t") and self._message:
            self._message.go_on(text[1:])
        elif text:
            self._begin(_Message(timestamp_ms(), "warning", {}, {"message": [text]}))

    def _add_prefixed(self, time: str, pid: str, number: str, severity: str, text: str) -> None:
        self._count(int(pid), int(number))
        if severity in _DETAILS and self._message and self._message.fields.get("pid") == int(pid):
            self._message.texts[severity.lower()] = [text]
        else:
            time, level = epoch_timestamp_ms(float(time)), _LEVELS.get(severity, "info")
            about: dict[str, Value] = {"severity": severity, "pid": int(pid)}
            self._begin(_Message(time, level, about, {"message": [text]}))

    def _begin(self, message: "_Message") -> None:
        self._write_message()
        self._message = message

    def _write_message(self) -> None:
        if self._message:
            self._message.write(self._program)
        self._message = None

    def _count(self, pid: int, number: int) -> None:
        before = self._numbers.get(pid, 0)
        # Each process begins with 1: this is another one with a number that was free again.
        if before >= number:
            before = 0
        self._lost += number - before - 1
        self._numbers[pid] = number
        if len(self._numbers) > _PROCESSES:
            self._numbers = {pid: n for pid, n in self._numbers.items() if _is_alive(pid)}

    def _tell_what_was_lost(self) -> None:
        if self._lost:
            said = "more was said than the log could take; lines were lost"
            write_line(self._program, said, level="warning", lines=self._lost)
        self._lost = 0


@dataclass
class _Message:
    time: str
    level: Level
    fields: dict[str, Value]
    texts: dict[str, list[str]]

    def go_on(self, line: str) -> None:
        """The text that came last has another line."""
        self.texts[next(reversed(self.texts))].append(line)

    def write(self, program: str) -> None:
        texts = {name: "\n".join(lines) for name, lines in self.texts.items()}
        message = texts.pop("message")
        write_record(self.time, program, message, self.level, self.fields | texts)


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
