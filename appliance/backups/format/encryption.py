"""Encryption of backups in age's format: for public keys, or so that a passphrase opens them.

See docs/decisions/0015-age-by-pyrage.md.
"""

import io
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyrage

from appliance.backups.backup_errors import BadRequestError, DamagedError, KeyRefusedError
from appliance.backups.format import passphrases

_ELSEWHERE = "Use another backup, or another copy."
_KEY = "BACKUP_IDENTITY, or --identity FILE on the command line"


@dataclass(frozen=True)
class Encryptor:
    """What encrypts one backup, for the public keys `recipients` and for a key of its own.

    `encrypted_identity` is that key, encrypted with the passphrase: a key file for age, or None.
    """

    recipients: tuple[str, ...]
    encrypted_identity: bytes | None = field(repr=False)
    _keys: tuple[Any, ...] = field(repr=False)

    def encrypt(self, source: BinaryIO, target: BinaryIO) -> None:
        """Encrypt all of `source` into `target`, and flush it; neither is closed.

        What the two raise is raised. `target` is then incomplete, and nothing can open it.
        """
        _pump(lambda pump: pyrage.encrypt_io(pump, pump.written, list(self._keys)), source, target)


class Decryptor:
    """What decrypts the files of one backup."""

    def __init__(self, identities: Sequence[Any], where: str) -> None:
        self._identities = list(identities)
        self._where = where

    def decrypt(self, source: BinaryIO, target: BinaryIO) -> None:
        """Decrypt all of `source` into `target`, and flush it; neither is closed.

        Raises DamagedError if it was altered or cut off, and what the two raise. `target` then has
        the part before, which is genuine, but must not be taken for the whole.
        """
        _pump(self._decrypt, source, target)

    def _decrypt(self, pump: "_Pump") -> None:
        try:
            pyrage.decrypt_io(pump, pump.written, self._identities)
        except (pyrage.DecryptError, OSError) as error:
            raise DamagedError(
                f"Data of {self._where} cannot be decrypted: it was altered, cut off, or made for "
                "other keys than the manifest says.",
                _ELSEWHERE,
            ) from error


class Keyring:
    """The keys at hand, to open backups with; `identities` are texts of age's key files.

    Raises BadRequestError, which does not show the text.
    """

    def __init__(self, identities: Sequence[str] = (), passphrase: str | None = None) -> None:
        self._passphrase = passphrase
        self._identities: dict[str, Any] = {}
        for number, text in enumerate(identities, 1):
            for identity in _given_keys(text, number):
                self._identities[str(identity.to_public())] = identity

    def decryptor_for(
        self, recipients: Sequence[str], encrypted_identity: bytes | None, where: str = "the backup"
    ) -> Decryptor:
        """Return what decrypts a backup; the other two are those of its Encryptor.

        Raises KeyRefusedError if nothing at hand does, DamagedError if nothing could. A passphrase
        is tried if no key fits, which costs what encrypting did.
        """
        fitting = [self._identities[key] for key in recipients if key in self._identities]
        if not fitting and encrypted_identity is not None and self._passphrase:
            fitting = _decrypt_key(encrypted_identity, self._passphrase, where)
        if not fitting:
            raise self._refused(recipients, encrypted_identity is not None, where)
        return Decryptor(fitting, where)

    def _refused(self, recipients: Sequence[str], by_passphrase: bool, where: str) -> Exception:
        needed = [f"the key of {' or of '.join(recipients)} ({_KEY})"] if recipients else []
        needed += [f"the passphrase it was made with ({passphrases.GIVEN_BY})"] * by_passphrase
        if not needed:
            return DamagedError(f"Nothing says for whom {where} was encrypted.", _ELSEWHERE)
        if self._identities:
            what = f"No key at hand opens {where}: they are of {', '.join(self._identities)}."
        elif self._passphrase:
            what = f"No passphrase opens {where}: it was encrypted for keys only."
        else:
            what = f"No key is at hand for {where}, which is encrypted."
        return KeyRefusedError(what, f"Give {'; or '.join(needed)}.")


def make_encryptor(recipients: Sequence[str], passphrase: str | None) -> Encryptor | None:
    """Get ready to encrypt one backup; None if there are neither keys nor a passphrase.

    Raises BadRequestError. A passphrase takes under a second, and 128 MiB of memory meanwhile.
    """
    keys = [_recipient(text, number) for number, text in enumerate(recipients, 1)]
    names = tuple(str(key) for key in keys)
    if not passphrase:
        return Encryptor(names, None, tuple(keys)) if keys else None
    own = pyrage.x25519.Identity.generate()
    return Encryptor(names, _encrypt_key(own, passphrase), (*keys, own.to_public()))


def check_recipients(text: str) -> list[str]:
    """Split public keys at commas and spaces, each once; raises BadRequestError on a bad one."""
    words = text.replace(",", " ").split()
    keys = [str(_recipient(word, number)) for number, word in enumerate(words, 1)]
    if not keys:
        raise BadRequestError("No public key was given.", "age-keygen -y prints that of a key.")
    return list(dict.fromkeys(keys))


def _recipient(text: str, number: int) -> Any:
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        # Anything else may be a secret in the wrong place.
        shown = f", {text[:80]!r}," if text.startswith("age1") else ""
        raise BadRequestError(
            f"Recipient number {number}{shown} is not a public key of age.",
            "Use keys as age-keygen -y prints them; those of plugins and of SSH cannot be used.",
        ) from None


def _given_keys(text: str, number: int) -> list[Any]:
    try:
        if keys := _keys(text):
            return keys
    except pyrage.IdentityError:
        pass
    raise BadRequestError(
        f"The key at hand number {number} is not one of age.",
        "Use what age-keygen wrote, with the line that starts with AGE-SECRET-KEY-1.",
    )


def _keys(text: str) -> list[Any]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [pyrage.x25519.Identity.from_str(word) for word in " ".join(lines).split()]


def _encrypt_key(key: Any, passphrase: str) -> bytes:
    text = f"# Opens one backup.\n# public key: {key.to_public()}\n{key}\n"
    return passphrases.encrypt(text.encode(), passphrase)


def _decrypt_key(encrypted: bytes, passphrase: str, where: str) -> list[Any]:
    return _keys(passphrases.decrypt(encrypted, passphrase, where).decode())


class _Pump:
    """What pyrage reads from and writes to.

    pyrage does not say when its last write fails, tries for ever after an InterruptedError, and
    renames other errors. So it writes to memory, about a chunk of 64 KiB, which is passed on here.
    """

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self.written = io.BytesIO()
        self.failure: BaseException | None = None
        self._target = target
        blocks = self._blocks(source)
        next(blocks)
        self.read = blocks.send

    def pass_on(self) -> None:
        size = self.written.tell()
        self.written.seek(0)
        rest = memoryview(self.written.read(size))
        self.written.seek(0)
        while rest:
            if not (count := self._target.write(rest)):
                raise BlockingIOError("The target takes no more data.")
            rest = rest[count:]

    def _blocks(self, source: BinaryIO) -> Generator[bytes, int, None]:
        # A generator, since a signal's exception can hit a function before its first `try`.
        block = b""
        try:
            while True:
                size = yield block
                self.pass_on()
                block = source.read(size)
        except GeneratorExit:
            return
        except BaseException as error:
            self.failure = error
            raise OSError("stopped") from error


def _pump(work: Callable[[_Pump], None], source: BinaryIO, target: BinaryIO) -> None:
    pump = _Pump(source, target)
    try:
        work(pump)
    except Exception:
        if pump.failure is None:
            raise
    if pump.failure is not None:
        raise pump.failure
    pump.pass_on()
    target.flush()
