"""Each rule: what it takes, and what it refuses."""

from typing import Any

import pytest

from appliance.errors import SettingsError
from appliance.settings import load, rules

TAKEN = [
    ("PORT", "1", 1),
    ("PORT", "65535", 65535),
    ("TRUST_PROXY_HOPS", "0", 0),
    ("HOLD_SECONDS", "0.1", 0.1),
    ("HOLD_SECONDS", "25", 25.0),
    ("ALLOW_BROKEN_FLOCK", "TRUE", True),
    ("ALLOW_BROKEN_FLOCK", "1", True),
    ("ALLOW_BROKEN_FLOCK", "No", False),
    ("SKIP_SCHEMA_CHECK", "true", True),
    ("SKIP_SCHEMA_CHECK", "True", False),
    ("SKIP_SCHEMA_CHECK", "1", False),
    ("SKIP_SCHEMA_CHECK", "yes", False),
    ("APP_URL", "https://example.org/", "https://example.org"),
    ("APP_URL", "http://localhost:8080/app", "http://localhost:8080/app"),
]
REFUSED = [
    ("BACKUP_PASSPHRASE", "1234"),
    ("BACKUP_PASSPHRASE", "aaaaaaaaaaaaaaaa"),
    *(("PORT", text) for text in ("0", "65536", "-1", "+1", "8_0", "80.0", " 80", "80\n", "٨٠")),
    *(("NUM_CPUS", text) for text in ("1e3", "0x10", "9" * 30)),
    *(
        ("HOLD_SECONDS", text)
        for text in ("nan", "inf", "-inf", "1e1", "0", "25.1", "1_0", "\uff11")
    ),
    *(("ALLOW_BROKEN_FLOCK", text) for text in ("on", "2", "tru")),
    *(("STORAGE_DIR", text) for text in ("data", "./data", "/", "//", "/x/..", "/a,b", "/a\nb")),
    *(("CLIENT_MIGRATIONS_DIR", text) for text in ("sql", "/nowhere", "/" + "x" * 5000)),
    *(("CLIENT_MIGRATIONS_DIR", text) for text in ("/etc/passwd", "/\udcff")),
    *(
        ("APP_URL", text)
        for text in ("example.org", "ftp://x", "http://", "http:///x", "http://a b")
    ),
    *(("APP_URL", text) for text in ("http://u:p@x", "http://x?y", "http://x#y", "http://x/\x7f")),
    *(("APPLIANCE_INSTANCE", text) for text in ("ABCDEF01", "0123", "x" * 8)),
]


@pytest.mark.parametrize(("name", "text", "value"), TAKEN)
def test_a_rule_takes(name: str, text: str, value: Any) -> None:
    assert getattr(load({name: text}).settings, name.lower()) == value


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_a_rule_refuses(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({name: text})
    assert f"  - {name}=" in caught.value.message
    assert " must be " in caught.value.message


@pytest.mark.parametrize("text", ["abcdefghijkl", "correct horse battery", "12345" * 3])
def test_a_passphrase_may_be(text: str) -> None:
    assert rules.passphrase().parse(text) == text


@pytest.mark.parametrize(
    "text",
    ["1234", "abcdefghijk", "abcd" * 8, "a" * 99, "changeme", "your-secret-key", "abcdef\n" * 3],
)
def test_a_passphrase_that_is_soon_guessed_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the rule has no words of its own
        rules.passphrase().parse(text)
    assert "at least 12 characters, 5 of them different" in rules.passphrase().text
    assert "openssl rand -base64 24" in rules.passphrase().text
