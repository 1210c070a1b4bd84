"""A key, what encrypts for it, and what decrypts that."""

import io

import pyrage

from appliance.backups.format.encryption import Decryptor, Encryptor, Keyring, make_encryptor

CHUNK, MIB = 64 * 1024, 1 << 20
KEY, OTHER, THIRD = (pyrage.x25519.Identity.generate() for _ in range(3))
PUBLIC, OTHER_PUBLIC = str(KEY.to_public()), str(OTHER.to_public())


def made(recipients: list[str], passphrase: str | None = None) -> Encryptor:
    one = make_encryptor(recipients, passphrase)
    assert one is not None
    return one


FOR_KEY = made([PUBLIC])
DECRYPTOR = Keyring([str(KEY)]).decryptor_for([PUBLIC], None)


def encrypted(text: bytes, by: Encryptor = FOR_KEY) -> bytes:
    target = io.BytesIO()
    by.encrypt(io.BytesIO(text), target)
    return target.getvalue()


def decrypted(data: bytes, by: Decryptor = DECRYPTOR) -> bytes:
    target = io.BytesIO()
    by.decrypt(io.BytesIO(data), target)
    return target.getvalue()
