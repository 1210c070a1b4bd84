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
    return utc_now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
