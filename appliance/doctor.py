"""The checks behind `appliance doctor`: each looks at one thing that goes wrong in practice."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import psycopg

from appliance import identities
from appliance.errors import ApplianceError
from appliance.identities import can_reach
from appliance.migrations import guard
from appliance.migrations.tracks import load_tracks
from appliance.postgres import binaries, cluster, config, ownership
from appliance.postgres.connect import connect
from appliance.process import run
from appliance.resources import MEBIBYTE, detect
from appliance.settings import Settings
from appliance.storage import SOCKET_PATH_LIMIT, Storage, mebibytes

State = Literal["ok", "warning", "problem"]

_MEMORY_MIB = 256
_SHM_MIB = 64
_FREE_BYTES_WARNING = 1024 * MEBIBYTE
# Nobody ran this before it was written.
_EARLIEST_CLOCK = 1_790_000_000
_CLOCK_DIFFERENCE_S = 2.0


@dataclass
class Finding:
    """What one check found; `hint` says what to do, if anything."""

    check: str
    state: State
    text: str
    hint: str = ""


def examine(settings: Settings, storage: Storage) -> list[Finding]:
    """Run every check; a check that itself fails is a finding too."""
    findings = []
    for name, check in _CHECKS.items():
        try:
            finding = check(settings, storage)
        except (ApplianceError, OSError) as error:
            message = getattr(error, "message", str(error))
            finding = Finding("", "problem", message, getattr(error, "hint", ""))
        finding.check = name
        findings.append(finding)
    return findings


def _ok(text: str) -> Finding:
    return Finding("", "ok", text)


def _folder(_settings: Settings, storage: Storage) -> Finding:
    if not storage.root.exists():
        return Finding("", "warning", f"{storage.root} does not exist yet", "Start the appliance.")
    if not os.access(storage.root, os.W_OK | os.X_OK):
        return Finding("", "problem", f"{storage.root} is not writable for this user", "chown it.")
    return _ok(f"{storage.root} is writable")


def _disk(_settings: Settings, storage: Storage) -> Finding:
    free = storage.free_bytes()
    text = f"{mebibytes(free)} of {mebibytes(storage.total_bytes())} are free"
    if free < cluster.FREE_BYTES_TO_START:
        return Finding(
            "", "problem", text, "The database does not start on a full disk: make room."
        )
    if free < _FREE_BYTES_WARNING:
        return Finding("", "warning", text, "Make room before it is full.")
    return _ok(text)


def _locks(settings: Settings, storage: Storage) -> Finding:
    if settings.allow_broken_flock:
        return Finding(
            "", "warning", "not tested: ALLOW_BROKEN_FLOCK is set", "Never run two here."
        )
    if not storage.run.exists():
        return Finding("", "warning", f"not tested: {storage.run} does not exist yet")
    ownership.check_locks_exclude(storage)
    return _ok("two opens of one file exclude each other")


def _owner(_settings: Settings, storage: Storage) -> Finding:
    owner = ownership.read_owner(storage)
    held = ownership.is_owned(storage)
    if held and owner:
        return _ok(f"{owner.hostname} ({owner.instance}) owns the database since {owner.since}")
    return _ok("the lock is held" if held else "nobody owns the database now")


def _cluster(_settings: Settings, storage: Storage) -> Finding:
    if not storage.pgdata.exists():
        return Finding("", "warning", "there is no cluster yet", "The first start makes it.")
    cluster.check(storage, identities.detect().database)
    return _ok(f"a Postgres {binaries.MAJOR_VERSION} cluster with the right owner and mode")


def _users(_settings: Settings, storage: Storage) -> Finding:
    who = identities.detect()
    text = f"Postgres runs as {who.database.name}, the API as {who.api.name}"
    if storage.root.exists() and not can_reach(storage.root, who.database):
        return Finding(
            "",
            "warning",
            f"{text}; {who.database.name} cannot enter {storage.root} by itself",
            "It works with one capability kept; a folder under /srv needs none.",
        )
    return _ok(text)


def _programs(_settings: Settings, _storage: Storage) -> Finding:
    said = run([binaries.program("postgres"), "--version"]).stdout.strip()
    return _ok(said)


def _socket_path(_settings: Settings, storage: Storage) -> Finding:
    length = len(os.fsencode(storage.socket))
    if length > SOCKET_PATH_LIMIT:
        return Finding(
            "",
            "problem",
            f"{storage.socket} is too long for a socket",
            "Use a shorter STORAGE_DIR.",
        )
    return _ok(f"{length} of {SOCKET_PATH_LIMIT} bytes")


def _memory(settings: Settings, _storage: Storage) -> Finding:
    found = detect(settings.num_cpus)
    size = config.sizes(found)
    text = f"{found.memory_mib} MiB and {found.cpus} CPUs; shared_buffers {size.shared_buffers} MiB"
    if found.memory_mib < _MEMORY_MIB:
        return Finding("", "warning", text, f"Give it {_MEMORY_MIB} MiB at least.")
    return _ok(text)


def _shared_memory(_settings: Settings, _storage: Storage) -> Finding:
    status = os.statvfs(config.SHARED_MEMORY_FOLDER)
    size = status.f_blocks * status.f_frsize // MEBIBYTE
    text = f"{config.SHARED_MEMORY_FOLDER} has {size} MiB; parallel queries do not use it"
    return _ok(text) if size >= _SHM_MIB else Finding("", "warning", text)


def _port(settings: Settings, _storage: Storage) -> Finding:
    try:
        with socket.create_connection(("127.0.0.1", settings.port), timeout=2):
            return _ok(f"{settings.port} answers")
    except ConnectionRefusedError:
        return _ok(f"{settings.port} is free")


def _clock(settings: Settings, storage: Storage) -> Finding:
    now = time.time()
    if now < _EARLIEST_CLOCK:
        return Finding("", "problem", "the clock is wrong, it is in the past", "Set up NTP.")
    if storage.owner.exists() and storage.owner.stat().st_mtime > now + _CLOCK_DIFFERENCE_S:
        return Finding(
            "", "problem", f"{storage.owner} was written in the future: the clock went back", "NTP."
        )
    return _ok("plausible")


def _schema(settings: Settings, storage: Storage) -> Finding:
    tracks = load_tracks(settings.client_migrations_dir)
    try:
        with connect(storage, config.OWNER_ROLE, program="appliance doctor") as connection:
            state = guard.read_schema_state(connection, tracks)
    except psycopg.OperationalError:
        return Finding("", "warning", "not looked at: the database does not answer")
    if not state.in_sync:
        return Finding("", "problem", state.message, "appliance migrate")
    return _ok(state.message)


_CHECKS: dict[str, Callable[[Settings, Storage], Finding]] = {
    "storage": _folder,
    "disk": _disk,
    "locks": _locks,
    "owner": _owner,
    "cluster": _cluster,
    "users": _users,
    "programs": _programs,
    "socket path": _socket_path,
    "memory": _memory,
    "shared memory": _shared_memory,
    "port": _port,
    "clock": _clock,
    "schema": _schema,
}
