"""A key, what encrypts for it, and what opens that."""

import io

import pyrage

from appliance.backups.encryption import Keyring, Opener, Sealer, sealer

CHUNK, MIB = 64 * 1024, 1 << 20
KEY, OTHER, THIRD = (pyrage.x25519.Identity.generate() for _ in range(3))
PUBLIC, OTHER_PUBLIC = str(KEY.to_public()), str(OTHER.to_public())


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
