"""Log lines on standard output: time, program, text. One line is one write."""

import os

from appliance.system.clock import timestamp_ms

_STDOUT = 1
# A line break or an escape sequence inside a text must not be able to forge another line.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def write_line(program: str, text: str) -> None:
    """Write `2026-11-20T13:00:00.123Z program text` as one line; control characters are escaped."""
    line = f"{timestamp_ms()} {program} {text.translate(_ESCAPED)}\n"
    try:
        os.write(_STDOUT, line.encode("utf-8", "backslashreplace"))
    except OSError:
        # Nobody reads the log any more; that must not stop the service.
        return


def write_block(program: str, text: str) -> None:
    """Write each line of `text` as a log line of its own, tracebacks for example."""
    for line in text.splitlines():
        write_line(program, line)
