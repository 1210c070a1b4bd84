"""Backups as the command and the API show them; the names are those of their documents."""

from typing import Any

from appliance.apps.contract import App
from appliance.backups.destinations.catalog import CatalogEntry
from appliance.backups.format.manifest import Manifest
from appliance.backups.service import PruneResult
from appliance.postgres import config


def describe(entry: CatalogEntry, app: App) -> dict[str, Any]:
    """One backup in a list. What is damaged has a `fault`, and nothing that is not known."""
    manifest = entry.manifest
    known = _facts(manifest, app) if manifest else {}
    return {
        "name": entry.name,
        "path": entry.path,
        "destinations": list(entry.destinations),
        "fault": str(entry.fault) if entry.fault else None,
        "created_at": None,
        "size": None,
        "counts": None,
        "encrypted": None,
        "compressed": None,
        **known,
    }


def describe_fully(entry: CatalogEntry, app: App) -> dict[str, Any]:
    """One backup with all that its manifest says, but the single files."""
    manifest = entry.manifest
    if manifest is None:
        return describe(entry, app)
    return {
        **describe(entry, app),
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


def describe_pruned(pruned: PruneResult) -> dict[str, Any]:
    """What pruning did."""
    return {
        "deleted_count": len(pruned.deleted_names),
        "deleted_names": list(pruned.deleted_names),
        "retained_count": pruned.retained_count,
        "bytes_freed": pruned.bytes_freed,
    }


def _facts(manifest: Manifest, app: App) -> dict[str, Any]:
    return {
        "created_at": manifest.created_at,
        "size": manifest.size,
        "counts": {
            name: manifest.rows(config.DATABASE, table) for name, table in app.counts.items()
        },
        "encrypted": manifest.encrypted,
        "compressed": True,
    }
