"""Secrets that nobody set: made once, kept in the storage, never shown."""

import errno
import os
import time
from dataclasses import replace
from pathlib import Path

from appliance.errors import StorageError
from appliance.settings import Settings, generate_secret
from appliance.storage.paths import Storage
from appliance.system.files import fsync_directory, write_atomically

_WRITING_TAKES_S = 2.0


def complete(settings: Settings, storage: Storage) -> Settings:
    """Fill in the secrets that the environment does not give."""
    if settings.secret_key_base is not None:
        return settings
    return replace(settings, secret_key_base=_kept(storage.secrets / "secret_key_base"))


def _kept(path: Path) -> str:
    try:
        return _made(path)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _made(path: Path) -> str:
    # Exclusive: of two containers that start together, one makes the secret, the other reads it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    secret = generate_secret()
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(descriptor)
    except OSError:
        # An empty file would stop every later start.
        path.unlink()
        raise
    fsync_directory(path.parent)
    return secret


def _read(path: Path) -> str:
    deadline = time.monotonic() + _WRITING_TAKES_S
    while True:
        try:
            secret = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(path, error) from error
        if secret:
            return secret
        if time.monotonic() > deadline:
            # A container died between making the file and writing it: nobody has used it yet.
            write_atomically(path, generate_secret() + "\n", mode=0o600)
        time.sleep(0.01)


def _unusable(path: Path, error: Exception) -> StorageError:
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return StorageError(
        f"The secret in {path} cannot be used: {getattr(error, 'strerror', None) or error}.",
        "Make room and start again." if full else "Give this user access to it.",
    )
