"""What makes a secret: where one comes from, which are none, which are weak."""

import base64
import math
import os

SECRET_MIN_CHARACTERS = 32
SECRET_MIN_BITS = 120
# Compared without their punctuation, so that change-me and <CHANGE_ME> are one word.
PLACEHOLDERS = frozenset(
    "changeme changethis default dummy example fixme foobar insecure mysecret none null password "
    "passw0rd placeholder replaceme replacethis secret secretkey secretkeybase supersecret test "
    "todo undefined yoursecret yoursecrethere yoursecretkey yoursecretkeybase "
    "yoursecretkeyhere".split()
)


def generate_secret() -> str:
    """32 random bytes as base64 text."""
    return base64.b64encode(os.urandom(32)).decode("ascii")


def entropy_bits(secret: str) -> float:
    """Length times log2 of the distinct characters: an upper bound, in bits.

    >>> entropy_bits("aaaa")
    0.0
    """
    return len(secret) * math.log2(len(set(secret))) if secret else 0.0


def is_placeholder(text: str) -> bool:
    """Whether this is a known word that stands for a secret and is none.

    >>> is_placeholder("<Change-Me>")
    True
    """
    word = "".join(filter(str.isalnum, text.lower()))
    return word in PLACEHOLDERS or set(word) == {"x"}


def is_weak(secret: str) -> bool:
    """Whether it deserves a warning."""
    return len(secret) < SECRET_MIN_CHARACTERS or entropy_bits(secret) < SECRET_MIN_BITS
