"""Encryption: what age's own program makes of it, and what is never taken for a whole backup."""

import io
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.backups.encryption import Keyring, Opener, Sealer, check_recipients, sealer
from appliance.backups.errors import BadRequestError, DamagedError, KeyRefusedError

CHUNK, MIB = 64 * 1024, 1 << 20
TEXT = bytes(range(256)) * 1024  # four chunks
PASSPHRASE = "correct horse battery staple"
KEY, OTHER, THIRD = (pyrage.x25519.Identity.generate() for _ in range(3))
PUBLIC, OTHER_PUBLIC = str(KEY.to_public()), str(OTHER.to_public())

# The machine that judges a change has the program, so there it must not be skipped.
needs_age = pytest.mark.skipif(
    not shutil.which("age") and not os.environ.get("CI"), reason="needs the program age"
)


def made(recipients: list[str], passphrase: str | None = None) -> Sealer:
    one = sealer(recipients, passphrase)
    assert one is not None
    return one


FOR_KEY = made([PUBLIC])
OPENER = Keyring([str(KEY)]).open_for([PUBLIC], None)


def encrypted(text: bytes, by: Sealer = FOR_KEY) -> bytes:
    target = io.BytesIO()
    by.encrypt(io.BytesIO(text), target)
    return target.getvalue()


def decrypted(data: bytes, by: Opener = OPENER) -> bytes:
    target = io.BytesIO()
    by.decrypt(io.BytesIO(data), target)
    return target.getvalue()


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
        OPENER.decrypt(io.BytesIO(data), target)
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
def by_passphrase() -> Sealer:
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
def test_the_program_asks_for_the_passphrase(tmp_path: Path, by_passphrase: Sealer) -> None:
    identity, data, text = (tmp_path / name for name in ("identity.age", "data.age", "text"))
    identity.write_bytes(by_passphrase.sealed_identity or b"")
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
    OPENER.decrypt(InPieces(data.getvalue()), text)
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
        with pytest.raises(KeyRefusedError, match=f"{message}.* Give the key of {PUBLIC}"):
            keyring.open_for([PUBLIC], None, "the backup b1")


def test_the_passphrase_opens_it_and_no_secret_is_shown(by_passphrase: Sealer) -> None:
    keyring, sealed = Keyring([str(OTHER)], PASSPHRASE), by_passphrase.sealed_identity
    opener = keyring.open_for([], sealed)
    assert decrypted(encrypted(TEXT, by_passphrase), opener) == TEXT
    with pytest.raises(KeyRefusedError, match="The passphrase does not open the backup b1") as bad:
        Keyring([str(OTHER)], "a wrong one").open_for([], sealed, "the backup b1")
    shown = f"{by_passphrase!r} {keyring!r} {opener!r} {bad.value}"
    assert not re.search(f"{PASSPHRASE}|a wrong one|AGE-SECRET|scrypt", shown)


def test_a_sealed_key_may_be_damaged_or_cost_too_much(by_passphrase: Sealer) -> None:
    keyring, sealed = Keyring(passphrase=PASSPHRASE), by_passphrase.sealed_identity or b""
    with pytest.raises(DamagedError, match="The sealed key of the backup"):
        keyring.open_for([], sealed[:-1])
    with pytest.raises(DamagedError, match="The sealed key of the backup"):
        keyring.open_for([], re.sub(rb"(scrypt \S+) \d+", rb"\1 42", sealed))
    with pytest.raises(KeyRefusedError, match=r"No key is .*\(BACKUP_PASSPHRASE\)"):
        Keyring().open_for([], sealed)
    with pytest.raises(DamagedError, match="Nothing says for whom"):
        keyring.open_for([], None)


def test_a_key_file_has_comments_and_several_keys() -> None:
    keyring = Keyring([f"# made: today\r\n#{OTHER}\r\n\r\n {KEY}\n{THIRD}"])
    assert decrypted(DATA, keyring.open_for([OTHER_PUBLIC, PUBLIC], None)) == TEXT
    with pytest.raises(KeyRefusedError):
        keyring.open_for([OTHER_PUBLIC], None)


def test_what_is_no_key_is_refused_and_secrets_are_not_shown() -> None:
    assert check_recipients(f"{PUBLIC},{OTHER_PUBLIC}\n{PUBLIC} ") == [PUBLIC, OTHER_PUBLIC]
    with pytest.raises(BadRequestError, match=f"number 2, '{PUBLIC}x', is not a public key"):
        check_recipients(f"{PUBLIC} {PUBLIC}x")
    for text in (" , ", str(KEY)):
        with pytest.raises(BadRequestError, match=r"^(?!.*AGE-SECRET-KEY-1.{9})"):
            check_recipients(text)
    for text in ("", "# nothing", f"{KEY}x", f"{KEY} {PUBLIC}"):
        with pytest.raises(BadRequestError, match=r"^(?!.*AGE-SECRET-KEY-1.{9}).* number 2 "):
            Keyring([str(OTHER), text])


@pytest.mark.parametrize("size", [1, 5000, CHUNK, MIB])
def test_a_full_disk_is_said_even_by_the_last_byte(size: int) -> None:
    for work, data in ((FOR_KEY.encrypt, bytes(size)), (OPENER.decrypt, encrypted(bytes(size)))):
        with open("/dev/full", "wb", 0) as full, pytest.raises(OSError, match="No space"):
            work(io.BytesIO(data), full)


@pytest.mark.parametrize("error", [BrokenPipeError(), InterruptedError(), ValueError()])
def test_what_source_and_target_raise_is_raised_as_it_is(error: Exception) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise error

        write: Any = read

    for work in (FOR_KEY.encrypt, OPENER.decrypt):
        for source, target in ((Broken(), io.BytesIO()), (io.BytesIO(DATA), Broken())):
            with pytest.raises(type(error)) as raised:
                work(source, target)
            assert raised.value is error


def test_a_signal_handler_may_raise() -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: 1 // 0)
    with open("/dev/zero", "rb") as zeros, open("/dev/null", "wb") as null:
        for after_s in (0.01, 0.02, 0.03):
            signal.setitimer(signal.ITIMER_REAL, after_s)
            with pytest.raises(ZeroDivisionError):
                FOR_KEY.encrypt(zeros, null)
    signal.signal(signal.SIGALRM, before)


THERE_AND_BACK = """
import os, sys, threading
from appliance.backups.encryption import Keyring, sealer
read, write = os.pipe()
def encrypt():
    with open(write, "wb") as target:
        sealer([sys.argv[1]], None).encrypt(sys.stdin.buffer, target)
threading.Thread(target=encrypt).start()
with open(read, "rb") as source:
    Keyring([sys.argv[2]]).open_for([sys.argv[1]], None).decrypt(source, sys.stdout.buffer)
print(open("/proc/self/status").read(), file=sys.stderr)
"""


def test_memory_is_flat_and_pipes_between_threads_and_programs_do() -> None:
    peaks_kib: list[int] = []
    for size in (8 * MIB, 128 * MIB):
        command = [sys.executable, "-c", THERE_AND_BACK, PUBLIC, str(KEY)]
        with subprocess.Popen(["head", f"-c{size}", "/dev/zero"], stdout=PIPE) as zeros:
            done = subprocess.run(command, stdin=zeros.stdout, capture_output=True, check=True)
        assert done.stdout == bytes(size)
        peaks_kib += map(int, re.findall(rb"VmHWM:\s+(\d+)", done.stderr))
    assert peaks_kib[1] < peaks_kib[0] + 4 * 1024
