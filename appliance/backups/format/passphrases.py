"""Small texts, encrypted with a passphrase in age's format, at a cost that is chosen here.

pyrage does this too, but it times a short task to choose the cost. See
docs/decisions/0015-age-by-pyrage.md. For texts of less than 64 KiB, which are one chunk.
"""

import base64
import hashlib
import hmac
import re
import secrets

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from appliance.backups.backup_errors import DamagedError, KeyRefusedError

# How people give one, to open a backup.
GIVEN_BY = "BACKUP_PASSPHRASE, or --passphrase-file FILE on the command line"

# As powers of two, in KiB of memory: 128 MiB to encrypt; age's own limit to decrypt.
_WORK, _MOST_WORK = 17, 18
_ENCRYPTED = re.compile(
    rb"(age-encryption\.org/v1\n-> scrypt ([A-Za-z0-9+/]{22}) ([1-9]\d?)\n([A-Za-z0-9+/]{43})\n---)"
    rb" ([A-Za-z0-9+/]{43})\n(.{16})(.{16,65551})",
    re.DOTALL,
)
_LAST_CHUNK = bytes(11) + b"\1"


def encrypt(text: bytes, passphrase: str) -> bytes:
    """Encrypt a text of less than 64 KiB; takes 128 MiB and under a second, other threads run."""
    salt, key, nonce = (secrets.token_bytes(16) for _ in range(3))
    body = _aead_encrypt(_from_passphrase(passphrase, salt, _WORK), bytes(12), key)
    header = b"age-encryption.org/v1\n-> scrypt %s %d\n%s\n---" % (_text(salt), _WORK, _text(body))
    payload = nonce + _aead_encrypt(_derived(key, b"payload", nonce), _LAST_CHUNK, text)
    return header + b" " + _text(_mac(key, header)) + b"\n" + payload


def decrypt(encrypted: bytes, passphrase: str, where: str) -> bytes:
    """Decrypt it again; raises KeyRefusedError, or DamagedError, that name `where`."""
    parts = _ENCRYPTED.fullmatch(encrypted)
    if parts is None or int(parts[3]) > _MOST_WORK:
        raise _damaged(where)
    header, salt, work, body, mac, nonce, data = parts.groups()
    key = _aead_decrypt(
        _from_passphrase(passphrase, _bytes(salt), int(work)), bytes(12), _bytes(body)
    )
    if key is None:
        raise KeyRefusedError(
            f"The passphrase does not open {where}.", f"Give the one it was made with ({GIVEN_BY})."
        )
    text = _aead_decrypt(_derived(key, b"payload", nonce), _LAST_CHUNK, data)
    if text is None or not hmac.compare_digest(_mac(key, header), _bytes(mac)):
        raise _damaged(where)
    return text


def _damaged(where: str) -> DamagedError:
    return DamagedError(
        f"The encrypted key of {where} was altered or cut off.",
        "Use another backup, or another copy.",
    )


def _from_passphrase(passphrase: str, salt: bytes, work: int) -> bytes:
    salt = b"age-encryption.org/v1/scrypt" + salt
    secret, most = passphrase.encode("utf-8", "surrogateescape"), 2 << (10 + work)
    return hashlib.scrypt(secret, salt=salt, n=1 << work, r=8, p=1, maxmem=most, dklen=32)


def _derived(key: bytes, purpose: bytes, salt: bytes = bytes(32)) -> bytes:
    return hmac.digest(hmac.digest(salt, key, "sha256"), purpose + b"\1", "sha256")


def _mac(key: bytes, header: bytes) -> bytes:
    return hmac.digest(_derived(key, b"header"), header, "sha256")


def _aead_encrypt(key: bytes, nonce: bytes, text: bytes) -> bytes:
    return crypto_aead_chacha20poly1305_ietf_encrypt(text, None, nonce, key)


def _aead_decrypt(key: bytes, nonce: bytes, data: bytes) -> bytes | None:
    try:
        return crypto_aead_chacha20poly1305_ietf_decrypt(data, None, nonce, key)
    except CryptoError:
        return None


def _text(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))
