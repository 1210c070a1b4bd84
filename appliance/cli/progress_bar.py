"""Long work on a terminal: one line that changes; elsewhere a line now and then."""

import sys
import time

import click

from appliance.system.progress import Step
from appliance.system.text import counted, size

_ON_TERMINAL_EVERY_S = 0.2
_ELSEWHERE_EVERY_S = 30.0


class ProgressBar:
    """Shows steps on standard error, unless it is to be quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._every_s = _ON_TERMINAL_EVERY_S if self._terminal else _ELSEWHERE_EVERY_S
        self._shown_at = time.monotonic()
        self._visible = False

    def show(self, step: Step) -> None:
        """Show a step, if the last one was long enough ago."""
        now = time.monotonic()
        if self._quiet or now - self._shown_at < self._every_s:
            return
        self._shown_at = now
        if self._terminal:
            click.echo(f"\r\x1b[K{words(step)}", err=True, nl=False)
            self._visible = True
        else:
            click.echo(words(step), err=True)

    def clear(self) -> None:
        """The work is over."""
        if self._visible:
            click.echo("\r\x1b[K", err=True, nl=False)


def words(step: Step) -> str:
    """A step for people.

    >>> words(Step("dumping", 5_000_000, 20_000_000, 3, 75.4))
    'dumping: 5.0 MB of 20.0 MB, 3 tables, 75 s left'
    """
    parts = [f"{size(step.done)} of {size(step.total)}"] if step.total else []
    if step.tables:
        parts.append(counted(step.tables, "table"))
    if step.seconds_left is not None:
        parts.append(f"{step.seconds_left:.0f} s left")
    return f"{step.phase}: {', '.join(parts)}" if parts else step.phase
