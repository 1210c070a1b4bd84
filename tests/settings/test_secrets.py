"""Secrets: strong ones, weak ones, placeholders; and none is ever shown."""

import base64
from pathlib import Path

import pytest

from appliance.errors import SettingsError
from appliance.settings import Settings, entropy_bits, generate_secret, load

STRONG = "correct-4711-horse-battery-staple-Zx9"


def test_a_generated_secret_is_32_random_bytes_in_base64_and_strong() -> None:
    secret = generate_secret()
    assert len(base64.b64decode(secret, validate=True)) == 32
    assert generate_secret() != secret
    assert load({"SECRET_KEY_BASE": secret}).warnings == ()


@pytest.mark.parametrize(
    ("secret", "bits"), [("", 0), ("a", 0), ("aaaa", 0), ("ab" * 16, 32), ("abcd" * 15, 120)]
)
def test_entropy_is_length_times_log2_of_the_distinct_characters(secret: str, bits: float) -> None:
    assert entropy_bits(secret) == bits


@pytest.mark.parametrize(
    ("secret", "weak"),
    [
        ("abcd" * 15, False),
        ("abcd" * 14 + "abc", True),
        ("0123456789abcdefghijklmnopqrstuv", False),
        ("0123456789abcdefghijklmnopqrstu", True),
        ("a" * 500, True),
    ],
)
def test_below_32_characters_or_120_bits_a_secret_warns(secret: str, weak: bool) -> None:
    warnings = load({"SECRET_KEY_BASE": secret}).warnings
    assert len(warnings) == weak
    for warning in warnings:
        assert warning.startswith("SECRET_KEY_BASE is weak (")
        assert "gen-secret" in warning
        assert secret not in warning


@pytest.mark.parametrize(
    "text",
    ["changeme", "CHANGE_ME", "<change-me>", "Your-Secret-Key-Here", "secret", "xxx", "x" * 64],
)
def test_a_placeholder_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="not a placeholder"):
        load({"SECRET_KEY_BASE": text})


@pytest.mark.parametrize("text", [f"{STRONG}\n{STRONG}", f"{STRONG}\0", f"{STRONG}\udcff"])
def test_a_secret_that_no_environment_can_carry_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"SECRET_KEY_BASE": text})
    assert "SECRET_KEY_BASE=(not shown) must be a secret" in caught.value.message
    assert STRONG not in str(caught.value)


def test_a_secret_given_as_the_name_of_its_file_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"SECRET_KEY_BASE_FILE": STRONG})
    assert "SECRET_KEY_BASE_FILE=(not shown) cannot be read" in caught.value.message
    assert STRONG not in str(caught.value)


def test_a_broken_secret_from_a_file_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content in (f"{STRONG}\0{STRONG}".encode(), STRONG.encode() + b"\xff"):
        file.write_bytes(content)
        with pytest.raises(SettingsError) as caught:
            load({"SECRET_KEY_BASE_FILE": str(file)})
        assert STRONG not in str(caught.value)


def test_a_secret_is_not_part_of_the_settings_printed() -> None:
    assert STRONG not in repr(Settings(secret_key_base=STRONG))
    assert STRONG not in repr(load({"SECRET_KEY_BASE": STRONG}))
