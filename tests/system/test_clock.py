"""The time as it is written down: in UTC, and in order."""

from datetime import UTC, datetime, timedelta

import pytest

from appliance.system import clock

MOMENT = datetime(2026, 11, 20, 13, 0, 0, 123_999, tzinfo=UTC)


def test_times_are_written_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: MOMENT)
    assert clock.timestamp() == "2026-11-20T13:00:00Z"
    assert clock.timestamp_ms() == "2026-11-20T13:00:00.123Z"


def test_what_is_written_is_now() -> None:
    for text in (clock.timestamp(), clock.timestamp_ms()):
        age = clock.utc_now() - datetime.fromisoformat(text)
        assert timedelta(0) <= age < timedelta(seconds=5)
