"""Backups as the command and the API show them; the names are those of their documents."""

from typing import Any

from appliance.backups.catalog import Listed
from appliance.backups.manifest import Manifest
from appliance.backups.operations import Pruned
from appliance.postgres import config


def describe(listed: Listed) -> dict[str, Any]:
    """One backup in a list. What is damaged has a `fault`, and nothing that is not known."""
    manifest = listed.manifest
    known = _facts(manifest) if manifest else {}
    return {
        "name": listed.name,
        "path": listed.path,
        "destinations": list(listed.destinations),
        "fault": str(listed.fault) if listed.fault else None,
        "created_at": None,
        "size": None,
        "counts": None,
        "encrypted": None,
        "compressed": None,
        **known,
    }


def describe_fully(listed: Listed) -> dict[str, Any]:
    """One backup with all that its manifest says, but the single files."""
    manifest = listed.manifest
    if manifest is None:
        return describe(listed)
    return {
        **describe(listed),
        "finished_at": manifest.finished_at,
        "appliance_version": manifest.appliance_version,
        "postgres_version": manifest.postgres_version,
        "schema": manifest.schema,
        "recipients": list(manifest.recipients),
        "passphrase": manifest.identity_file is not None,
        "databases": [
            {
                "name": dump.name,
                "size": dump.size_bytes,
                "tables": [{"name": table.name, "rows": table.rows} for table in dump.tables],
            }
            for dump in manifest.databases
        ],
    }


def describe_pruned(pruned: Pruned) -> dict[str, Any]:
    """What pruning did."""
    return {
        "deleted_count": len(pruned.deleted_names),
        "deleted_names": list(pruned.deleted_names),
        "retained_count": pruned.retained_count,
        "bytes_freed": pruned.bytes_freed,
    }


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "created_at": manifest.created_at,
        "size": manifest.size,
        "counts": {
            "accounts": manifest.rows(config.DATABASE, "public.accounts"),
            "transactions": manifest.rows(config.DATABASE, "public.transactions"),
        },
        "encrypted": manifest.encrypted,
        "compressed": True,
    }
