"""Encryption: what age's own program makes of it, and what is never taken for a whole backup."""

import io
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.backups.backup_errors import BadRequestError, DamagedError, KeyRefusedError
from appliance.backups.format.encryption import Encryptor, Keyring, check_recipients
from tests.backups.encryptors import (
    CHUNK,
    DECRYPTOR,
    FOR_KEY,
    KEY,
    OTHER,
    OTHER_PUBLIC,
    PUBLIC,
    THIRD,
    decrypted,
    encrypted,
    made,
)

TEXT = bytes(range(256)) * 1024  # four chunks
BY_KEY = "BACKUP_IDENTITY, or --identity FILE on the command line"
BY_WORDS = "BACKUP_PASSPHRASE, or --passphrase-file FILE on the command line"
PASSPHRASE = "correct horse battery staple"
# The machine that judges a change has the program, so there it must not be skipped.
needs_age = pytest.mark.skipif(
    not shutil.which("age") and not os.environ.get("CI"), reason="needs the program age"
)


DATA = encrypted(TEXT)
PAYLOAD = DATA.index(b"\n", DATA.index(b"\n---") + 1) + 1
SECOND, LAST = PAYLOAD + 16 + CHUNK + 16, len(DATA) - CHUNK - 16
PLACES = {
    "in the version": 10,
    "in the stanza": 40,
    "in the header's code": PAYLOAD - 20,
    "at the nonce": PAYLOAD,
    "at the first chunk": PAYLOAD + 16,
    "at the second chunk": SECOND,
    "in the second chunk": SECOND + 9,
    "at the last chunk": LAST,
    "at the last byte": len(DATA) - 1,
}


def assert_damaged(data: bytes, reason: str) -> bytes:
    """It is refused; returns what was written before that, which is how the text begins."""
    target = io.BytesIO()
    with pytest.raises(DamagedError, match=reason):
        DECRYPTOR.decrypt(io.BytesIO(data), target)
    assert TEXT.startswith(target.getvalue())
    return target.getvalue()


def age(*arguments: str | Path, data: bytes) -> bytes:
    return subprocess.run(["age", *arguments], input=data, stdout=PIPE, check=True).stdout


def age_at_terminal(answer: str, *arguments: str | Path) -> None:
    ours, theirs = pty.openpty()
    with open(ours, "r+b", 0) as terminal, open(theirs, "r+b", 0) as its:
        terminal.write(f"{answer}\n".encode())
        command = ["setsid", "--ctty", "age", *arguments]
        status = subprocess.call(command, stdin=its, stdout=its, stderr=its, timeout=60)
        assert (status, b"Enter passphrase" in (shown := terminal.read(1000))) == (0, True), shown


@pytest.fixture(scope="module")
def by_passphrase() -> Encryptor:
    return made([], PASSPHRASE)


@needs_age
@pytest.mark.parametrize("text", [b"", TEXT], ids=len)
def test_the_program_and_we_open_what_the_other_encrypts(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "key").write_text(f"# mine\n{KEY}\n")
    data = encrypted(text, made([OTHER_PUBLIC, PUBLIC]))
    assert age("-d", "-i", tmp_path / "key", data=data) == text
    assert decrypted(age("-r", OTHER_PUBLIC, "-r", PUBLIC, data=text)) == text
    assert decrypted(age("--armor", "-r", PUBLIC, data=text)) == text


@needs_age
def test_the_program_asks_for_the_passphrase(tmp_path: Path, by_passphrase: Encryptor) -> None:
    identity, data, text = (tmp_path / name for name in ("identity.age", "data.age", "text"))
    identity.write_bytes(by_passphrase.encrypted_identity or b"")
    data.write_bytes(encrypted(TEXT, by_passphrase))
    age_at_terminal(PASSPHRASE, "-d", "-i", identity, "-o", text, data)
    assert text.read_bytes() == TEXT


@pytest.mark.parametrize("size", [n * CHUNK + more for n in (0, 1, 2, 3) for more in (-1, 0, 1)])
def test_whole_chunks_and_nearly_whole_ones_come_back(size: int) -> None:
    assert decrypted(encrypted(TEXT[:size])) == TEXT[:size]


class InPieces(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 5000, 5000))

    def write(self, data: Any) -> int:
        return super().write(data[:5000])


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(1, 2000))
def test_everything_comes_back_in_whatever_pieces(seed: bytes, times: int) -> None:
    data, text = InPieces(), InPieces()
    FOR_KEY.encrypt(InPieces(seed * times), data)
    DECRYPTOR.decrypt(InPieces(data.getvalue()), text)
    assert text.getvalue() == seed * times


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_what_was_cut_off_or_altered_is_not_taken_for_whole(place: int) -> None:
    altered = DATA[:place] + bytes([DATA[place] ^ 1]) + DATA[place + 1 :]
    assert len(assert_damaged(DATA[:place], "cut off")) < len(TEXT)
    assert len(assert_damaged(altered, "altered")) < len(TEXT)


def test_what_is_no_such_data_is_damaged() -> None:
    for data in (b"", DATA + b"x", DATA * 2, b"PGDMP" + TEXT):
        assert_damaged(data, "cannot be decrypted")
    other = encrypted(TEXT, made([OTHER_PUBLIC]))
    assert assert_damaged(other, "other keys than the manifest says") == b""


def test_without_its_key_it_is_refused_at_once() -> None:
    for keyring, message in (
        (Keyring(), "No key is at hand for the backup b1"),
        (Keyring([str(OTHER)], "x"), f"No key at hand opens the backup b1: .*{OTHER_PUBLIC}"),
        (Keyring(passphrase="x"), "No passphrase opens the backup b1"),
    ):
        with pytest.raises(KeyRefusedError, match=message) as refused:
            keyring.decryptor_for([PUBLIC], None, "the backup b1")
        assert refused.value.hint == f"Give the key of {PUBLIC} ({BY_KEY})."


def test_every_way_to_open_it_is_named_as_it_is_called() -> None:
    with pytest.raises(KeyRefusedError) as refused:
        Keyring().decryptor_for([PUBLIC, OTHER_PUBLIC], b"encrypted")
    keys = f"the key of {PUBLIC} or of {OTHER_PUBLIC} ({BY_KEY})"
    assert refused.value.hint == f"Give {keys}; or the passphrase it was made with ({BY_WORDS})."


def test_the_passphrase_opens_it_and_no_secret_is_shown(by_passphrase: Encryptor) -> None:
    keyring, encrypted_identity = (
        Keyring([str(OTHER)], PASSPHRASE),
        by_passphrase.encrypted_identity,
    )
    decryptor = keyring.decryptor_for([], encrypted_identity)
    assert decrypted(encrypted(TEXT, by_passphrase), decryptor) == TEXT
    with pytest.raises(KeyRefusedError, match="The passphrase does not open the backup b1") as bad:
        Keyring([str(OTHER)], "a wrong one").decryptor_for([], encrypted_identity, "the backup b1")
    assert bad.value.hint == f"Give the one it was made with ({BY_WORDS})."
    shown = f"{by_passphrase!r} {keyring!r} {decryptor!r} {bad.value}"
    assert not re.search(f"{PASSPHRASE}|a wrong one|AGE-SECRET|scrypt", shown)


def test_an_encrypted_key_may_be_damaged_or_cost_too_much(by_passphrase: Encryptor) -> None:
    keyring, encrypted_identity = (
        Keyring(passphrase=PASSPHRASE),
        by_passphrase.encrypted_identity or b"",
    )
    with pytest.raises(DamagedError, match="The encrypted key of the backup"):
        keyring.decryptor_for([], encrypted_identity[:-1])
    with pytest.raises(DamagedError, match="The encrypted key of the backup"):
        keyring.decryptor_for([], re.sub(rb"(scrypt \S+) \d+", rb"\1 42", encrypted_identity))
    with pytest.raises(KeyRefusedError, match=r"No key is .*BACKUP_PASSPHRASE"):
        Keyring().decryptor_for([], encrypted_identity)
    with pytest.raises(DamagedError, match="Nothing says for whom"):
        keyring.decryptor_for([], None)


def test_a_key_file_has_comments_and_several_keys() -> None:
    keyring = Keyring([f"# made: today\r\n#{OTHER}\r\n\r\n {KEY}\n{THIRD}"])
    assert decrypted(DATA, keyring.decryptor_for([OTHER_PUBLIC, PUBLIC], None)) == TEXT
    with pytest.raises(KeyRefusedError):
        keyring.decryptor_for([OTHER_PUBLIC], None)


def test_what_is_no_key_is_refused_and_secrets_are_not_shown() -> None:
    assert check_recipients(f"{PUBLIC},{OTHER_PUBLIC}\n{PUBLIC} ") == [PUBLIC, OTHER_PUBLIC]
    with pytest.raises(BadRequestError, match=f"number 2, '{PUBLIC}x', is not a public key"):
        check_recipients(f"{PUBLIC} {PUBLIC}x")
    with pytest.raises(BadRequestError, match="'age1\u00fc', is not a public key"):
        check_recipients("age1\u00fc")
    for text in (" , ", str(KEY)):
        with pytest.raises(BadRequestError, match=r"^(?!.*AGE-SECRET-KEY-1.{9})"):
            check_recipients(text)
    for text in ("", "# nothing", f"{KEY}x", f"{KEY} {PUBLIC}"):
        with pytest.raises(BadRequestError, match=r"^(?!.*AGE-SECRET-KEY-1.{9}).* number 2 "):
            Keyring([str(OTHER), text])
