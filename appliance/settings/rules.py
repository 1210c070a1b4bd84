"""How the text of a variable becomes a value, and how the rule is said to people."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.settings.secret_rules import is_placeholder

_PASSPHRASE_CHARACTERS = 12
_PASSPHRASE_DISTINCT = 5
_DESTINATION = re.compile(r"[a-z][a-z0-9-]{0,31}=(/|s3://[a-z0-9])[^\s,=]*(\?[^\s,]*)?")


@dataclass(frozen=True)
class Rule:
    """`parse` raises ValueError for what breaks the rule; `text` completes "it must be …"."""

    text: str
    parse: Callable[[str], Any]


def integer(low: int, high: int) -> Rule:
    """A whole number in plain digits."""

    def parse(text: str) -> int:
        _require(re.fullmatch(r"[0-9]{1,18}", text) and low <= int(text) <= high)
        return int(text)

    return Rule(f"a whole number from {low} to {high}", parse)


def number(low: float, high: float) -> Rule:
    """A number in plain digits. Fifteen of them survive being written and read again."""

    def parse(text: str) -> float:
        _require(re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", text) and low <= float(text) <= high)
        return float(text)

    return Rule(f"a number from {low:g} to {high:g}", parse)


def boolean() -> Rule:
    """Yes or no, as people write it."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

    def parse(text: str) -> bool:
        _require(text.lower() in words)
        return words[text.lower()]

    return Rule("true or false", parse)


def exactly_true() -> Rule:
    """Only `true` is yes: a check is not switched off by a typing error or a stray `1`."""
    return Rule("exactly true, or anything else to keep the check", lambda text: text == "true")


def storage_path() -> Rule:
    """Where all data lies."""

    def parse(text: str) -> Path:
        # Postgres and its clients take a comma in a socket's path for the end of one path. And in
        # the root folder /run would be ours, with the machine's own sockets in it.
        path = _absolute(text)
        _require("," not in text and os.path.normpath(path).strip("/"))
        return path

    return Rule("an absolute path, not / itself and without a comma", parse)


def path() -> Rule:
    """A place in the file system that may not be there yet."""
    return Rule("an absolute path", _absolute)


def line() -> Rule:
    """Any text on one line."""

    def parse(text: str) -> str:
        _require(text.isprintable())
        return text

    return Rule("text on one line", parse)


def one_of(*words: str) -> Rule:
    """One of a few words."""

    def parse(text: str) -> str:
        _require(text in words)
        return text

    return Rule(" or ".join(words), parse)


def destinations() -> Rule:
    """Where backups go; whoever opens them reads the rest of a URL."""

    def parse(text: str) -> str:
        parts = [part.strip() for part in text.split(",")]
        _require(all(_DESTINATION.fullmatch(part) for part in parts))
        names = [part.partition("=")[0] for part in parts]
        _require(len({*names, "local"}) == len(names) + 1)
        return ", ".join(parts)

    return Rule(
        "a list such as nas=/mnt/nas, r2=s3://bucket/prefix, each with a name of its own (`local` "
        "is BACKUP_DIR)",
        parse,
    )


def recipients() -> Rule:
    """Public keys of age."""

    def parse(text: str) -> str:
        keys = text.replace(",", " ").split()
        _require(keys and all(re.fullmatch(r"age1[0-9a-z]{20,}", key) for key in keys))
        return ", ".join(keys)

    return Rule("one or more public keys that start with age1", parse)


def identity() -> Rule:
    """The text of an age key file, which may have comments."""

    def parse(text: str) -> str:
        keys = [word for word in text.split() if word.startswith("AGE-SECRET-KEY-1")]
        _require(keys)
        return " ".join(keys)

    return Rule("one or more keys that start with AGE-SECRET-KEY-1", parse)


def folder() -> Rule:
    """A folder that somebody else fills."""

    def parse(text: str) -> Path:
        path = _absolute(text)
        try:
            _require(path.is_dir())
        except OSError as error:
            raise ValueError from error
        return path

    return Rule("the absolute path of a folder that exists", parse)


def url() -> Rule:
    """A public address. Whoever writes links with it puts a path behind it."""

    def parse(text: str) -> str:
        _require(
            text.isprintable() and re.fullmatch(r"https?://[^\s/?#:@][^\s/?#@]*(/[^\s?#]*)?", text)
        )
        return text.rstrip("/")

    return Rule(
        "a URL that starts with http:// or https://, without user, query or fragment", parse
    )


def secret() -> Rule:
    """A secret; how strong it is, is a matter for a warning."""

    def parse(text: str) -> str:
        _require(text.isprintable() and not is_placeholder(text))
        return text

    return Rule("a secret of your own on one line, not a placeholder", parse)


def passphrase() -> Rule:
    """What encrypts backups: whoever has a copy of one may guess for as long as he likes."""

    def parse(text: str) -> str:
        _require(len(text) >= _PASSPHRASE_CHARACTERS and len(set(text)) >= _PASSPHRASE_DISTINCT)
        return str(secret().parse(text))

    return Rule(
        f"a passphrase on one line, at least {_PASSPHRASE_CHARACTERS} characters, "
        f"{_PASSPHRASE_DISTINCT} of them different, such as `openssl rand -base64 24` prints",
        parse,
    )


def hex_name() -> Rule:
    """A name that the appliance made."""

    def parse(text: str) -> str:
        _require(re.fullmatch(r"[0-9a-f]{8,32}", text))
        return text

    return Rule("8 to 32 hexadecimal digits", parse)


def _absolute(text: str) -> Path:
    # What cannot be printed cannot stand in Postgres' configuration or in a log either.
    _require(text.startswith("/") and text.isprintable())
    return Path(text)


def _require(condition: object) -> None:
    if not condition:
        raise ValueError
