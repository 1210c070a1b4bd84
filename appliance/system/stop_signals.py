"""The signals that mean stop, held back while nobody can obey them yet.

The kernel drops such a signal for process 1 until somebody handles it, and the imports of a start
take a tenth of a second.
"""

import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def hold() -> None:
    """Keep them pending from now on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def let_through() -> None:
    """Deliver what is pending, and everything from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
