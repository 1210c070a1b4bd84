"""How backups are shown to people: a table of them, and all of one."""

from collections.abc import Sequence
from typing import Any

import click

from appliance.backups.destinations.catalog import CatalogEntry
from appliance.system.text import counted, size

_HEAD = ("NAME", "MADE (UTC)", "    SIZE", "KEPT IN", "NOTE")


def print_table(backups: Sequence[CatalogEntry]) -> None:
    """A line each, below a line of headings."""
    rows = [_HEAD, *map(_row, backups)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_one(one: dict[str, Any]) -> None:
    """All that is known of one, as `descriptions.describe_fully` tells it."""
    lines: list[tuple[str, str]] = [
        ("name", one["name"]),
        ("path", one["path"]),
        ("kept in", ", ".join(one["destinations"])),
    ]
    if one["fault"]:
        lines.append(("DAMAGED", one["fault"]))
    else:
        lines += [
            ("made", f"{one['created_at']} by appliance {one['appliance_version']}"),
            ("size", size(one["size"])),
            ("opened by", _keys(one)),
        ]
        lines += [
            ("database", f"{database['name']}, {table['name']}: {counted(table['rows'], 'row')}")
            for database in one["databases"]
            for table in database["tables"]
        ]
    for name, text in lines:
        click.echo(f"{name:10} {text}")


def _row(one: CatalogEntry) -> tuple[str, ...]:
    kept_in = ", ".join(one.destinations)
    if one.fault:
        return one.name, "", "", kept_in, f"DAMAGED: {one.fault.message}"
    manifest = one.usable()
    made = manifest.created_at.replace("T", " ")[:16]
    damaged = ", ".join(name for name in one.copies_in if name not in one.destinations)
    noted = ("encrypted" if manifest.encrypted else "", damaged and f"DAMAGED in {damaged}")
    return one.name, made, f"{size(manifest.size):>8}", kept_in, ", ".join(filter(None, noted))


def _keys(one: dict[str, Any]) -> str:
    if not one["encrypted"]:
        return "everyone who can read it (not encrypted)"
    return " or ".join([*one["recipients"], *(["its passphrase"] if one["passphrase"] else [])])
