"""The time, as it is written down: always in UTC."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, with its time zone."""
    return datetime.now(UTC)


def timestamp() -> str:
    """Now as notes carry it: ISO 8601 in whole seconds, `2026-11-20T13:00:00Z`."""
    return f"{utc_now():%Y-%m-%dT%H:%M:%SZ}"


def timestamp_ms() -> str:
    """The same in milliseconds, `2026-11-20T13:00:00.123Z`: for what happens within a second."""
    return _in_milliseconds(utc_now())


def epoch_timestamp_ms(seconds: float) -> str:
    """The same of seconds since 1970.

    >>> epoch_timestamp_ms(1732712345.033)
    '2024-11-27T12:59:05.033Z'
    """
    # What binary fractions cannot hold exactly must not be cut to the millisecond before.
    return _in_milliseconds(datetime.fromtimestamp(seconds + 0.0005, UTC))


def _in_milliseconds(moment: datetime) -> str:
    # Without its time zone, of which Python would otherwise ask the offset: twice as fast.
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
