"""Encrypted texts: others open them, and they are refused when altered."""

import re

import pyrage
import pytest

from appliance.backups.backup_errors import DamagedError, KeyRefusedError
from appliance.backups.format import passphrases

TEXT = b"# key\nAGE-SECRET-KEY-1" + b"x" * 200
ENCRYPTED = passphrases.encrypt(TEXT, "gr\u00fc\u00df Gott")


def test_others_open_it_and_it_opens_theirs() -> None:
    assert pyrage.passphrase.decrypt(ENCRYPTED, "gr\u00fc\u00df Gott") == TEXT
    assert passphrases.decrypt(ENCRYPTED, "gr\u00fc\u00df Gott", "b1") == TEXT
    with pytest.raises(KeyRefusedError, match="does not open b1"):
        passphrases.decrypt(ENCRYPTED, "other", "b1")


@pytest.mark.parametrize("place", [3, 80, 100, len(ENCRYPTED) - 1])
def test_what_was_altered_is_refused(place: int) -> None:
    data = ENCRYPTED[:place] + bytes([ENCRYPTED[place] ^ 1]) + ENCRYPTED[place + 1 :]
    with pytest.raises((DamagedError, KeyRefusedError)):
        passphrases.decrypt(data, "gr\u00fc\u00df Gott", "b1")
    with pytest.raises(DamagedError):
        passphrases.decrypt(ENCRYPTED[:place], "gr\u00fc\u00df Gott", "b1")


def test_too_much_work_is_not_begun() -> None:
    with pytest.raises(DamagedError):
        passphrases.decrypt(re.sub(rb"(scrypt \S+) 17", rb"\1 30", ENCRYPTED), "x", "b1")
