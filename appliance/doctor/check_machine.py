"""The machine around the appliance: users, programs, memory, port, clock."""

import os
import socket
import time
from pathlib import Path

from appliance.doctor.finding import Finding, Subject, ok, problem, warning
from appliance.postgres import binaries, config
from appliance.system import system_users
from appliance.system.limits import MEBIBYTE, detect
from appliance.system.process import run
from appliance.system.system_users import SystemUser, can_reach

_MEMORY_MIB = 256
_SHM_MIB = 64
# Nobody ran this before it was written.
_EARLIEST_CLOCK = 1_790_000_000
_CLOCK_DIFFERENCE_S = 2.0
_SYNCHRONISE = "Synchronise the clock: timedatectl set-ntp true"
_FIRST_FREE_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_HEALTH = b"GET /health HTTP/1.0\r\nHost: localhost\r\nUser-Agent: doctor\r\n\r\n"


def users(subject: Subject) -> Finding:
    """Do the users exist, and can they come to where they must?"""
    who = system_users.detect()
    text = f"Postgres runs as {who.database.name}, the API as {who.api.name}"
    closed = _closed_to(subject, who.database)
    if closed:
        return warning(
            f"{text}; {who.database.name} cannot enter {closed} by itself",
            "As root it works where the machine lets a right be kept. A folder under /srv needs "
            "none.",
        )
    return ok(text)


def programs(_subject: Subject) -> Finding:
    """Do Postgres' programs run here?"""
    return ok(run([binaries.program("postgres"), "--version"]).stdout.strip())


def memory(subject: Subject) -> Finding:
    """Is there enough memory, and what was made of it?"""
    found = detect(subject.settings.num_cpus)
    shared = config.sizes(found).shared_buffers
    text = f"{found.memory_mib} MiB and {found.cpus} CPUs; shared_buffers {shared} MiB"
    if found.memory_mib < _MEMORY_MIB:
        return warning(text, f"Give it {_MEMORY_MIB} MiB at least.")
    return ok(text)


def shared_memory(_subject: Subject) -> Finding:
    """Is /dev/shm what Postgres and the API's server count on?"""
    status = os.statvfs(config.SHARED_MEMORY_FOLDER)
    size = status.f_blocks * status.f_frsize // MEBIBYTE
    text = f"{config.SHARED_MEMORY_FOLDER} has {size} MiB; parallel queries do not use it"
    return ok(text) if size >= _SHM_MIB else warning(text, f"Give it {_SHM_MIB} MiB: --shm-size")


def port(subject: Subject) -> Finding:
    """Is the port ours, or free for us?"""
    number = subject.settings.port
    try:
        if _is_ours(number):
            return ok(f"an appliance answers on {number}")
    except ConnectionRefusedError:
        if os.geteuid() != 0 and number < _first_free_port():
            return problem(f"{number} may be opened by root only", "Choose another one with PORT.")
        return ok(f"{number} is free")
    except TimeoutError:
        pass
    return problem(
        f"{number} is taken by another program", "Stop it, or choose another one with PORT."
    )


def clock(subject: Subject) -> Finding:
    """Is the time plausible?"""
    now, note = time.time(), subject.storage.owner
    if now < _EARLIEST_CLOCK:
        return problem("the clock is wrong: it is in the past", _SYNCHRONISE)
    if note.exists() and note.stat().st_mtime > now + _CLOCK_DIFFERENCE_S:
        return problem(f"{note} was written in the future: the clock went back", _SYNCHRONISE)
    return ok("plausible")


def _closed_to(subject: Subject, user: SystemUser) -> Path | None:
    folders = [subject.storage.root, subject.settings.client_migrations_dir]
    return next((f for f in folders if f and f.exists() and not can_reach(f, user)), None)


def _is_ours(number: int) -> bool:
    with socket.create_connection(("127.0.0.1", number), timeout=2) as connection:
        connection.sendall(_HEALTH)
        with connection.makefile("rb") as answer:
            return b'"status":"ok"' in answer.read(4096)


def _first_free_port() -> int:
    try:
        return int(_FIRST_FREE_PORT.read_text())
    except (OSError, ValueError):
        return 1024
