"""Postgres' configuration, computed from what the container may use. Pure functions."""

from dataclasses import dataclass
from pathlib import Path

from appliance.system.limits import ResourceLimits

# Clusters of any age have these; they are written here, and in the SQL of the migrations.
OWNER_ROLE = "appliance"
API_ROLE = "app"
SUPERUSER = "postgres"
DATABASE = "appliance"

# Of each of the API's workers. There are more threads than that: a request that is held, or waits
# for its turn, must not keep a health check waiting.
API_CONNECTIONS = 8

# Under ONCE /dev/shm has 64 MB, so anything that Postgres would put there must fit.
SHARED_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lies

# Postgres knows only GMT by itself; UTC it reads from the system's tzdata.
_TIME_ZONE = "UTC" if Path("/usr/share/zoneinfo/UTC").exists() else "GMT"

HBA = "# Written by the appliance at every start.\nlocal all all peer map=appliance\n"


@dataclass(frozen=True)
class Sizes:
    """Memory settings in MiB, and counts."""

    shared_buffers: int
    work_mem: int
    maintenance_work_mem: int
    effective_cache_size: int
    max_connections: int
    max_wal_size: int
    workers: int
    autovacuum_workers: int


def sizes(resources: ResourceLimits) -> Sizes:
    """Share the memory out between Postgres, the API and the system's page cache."""
    memory = resources.memory_mib
    ample = memory >= 1024  # noqa: PLR2004 - a GiB, in MiB
    # Not more: what Postgres maps, the kernel makes and frees at each start and stop, and requests
    # wait meanwhile. See docs/decisions/0013-small-shared-buffers.md.
    shared = _between(16, memory // 4 if ample else memory // 8, 512)
    return Sizes(
        shared_buffers=shared,
        work_mem=_between(2, memory // 128, 32),
        maintenance_work_mem=_between(16, memory // 16, 512),
        effective_cache_size=_between(64, memory // 2, 1 << 20),
        max_connections=_connections(resources.api_workers, ample=ample),
        max_wal_size=_between(128, memory // 4, 512),
        workers=_between(1, resources.cpus, 4),
        autovacuum_workers=3 if ample else 1,
    )


def postgresql_conf(resources: ResourceLimits, socket_folder: Path) -> str:
    """The whole postgresql.conf."""
    size = sizes(resources)
    settings: dict[str, str | int] = {
        "listen_addresses": "''",
        "unix_socket_directories": _quoted(str(socket_folder)),
        "max_connections": size.max_connections,
        "superuser_reserved_connections": 3,
        "shared_buffers": f"{size.shared_buffers}MB",
        "work_mem": f"{size.work_mem}MB",
        "maintenance_work_mem": f"{size.maintenance_work_mem}MB",
        "effective_cache_size": f"{size.effective_cache_size}MB",
        # mmap keeps the segments of parallel queries in pgdata/pg_dynshmem instead of /dev/shm,
        # whose 64 MB a parallel hash join exhausts.
        "dynamic_shared_memory_type": "mmap",
        "max_worker_processes": size.workers + 4,
        "max_parallel_workers": size.workers,
        "max_parallel_workers_per_gather": min(2, size.workers),
        "autovacuum_max_workers": size.autovacuum_workers,
        # Crash recovery replays at most this much, and a checkpoint before a stop is small.
        "checkpoint_timeout": "60s",
        "checkpoint_completion_target": "0.8",
        "max_wal_size": f"{size.max_wal_size}MB",
        "min_wal_size": "80MB",
        "wal_compression": "lz4",
        "wal_level": "replica",
        "max_wal_senders": 2,
        "max_replication_slots": 2,
        "random_page_cost": "1.1",
        "jit": "off",
        "idle_in_transaction_session_timeout": "10min",
        "timezone": f"'{_TIME_ZONE}'",
        "log_timezone": f"'{_TIME_ZONE}'",
        "log_line_prefix": "'%m postgres '",
        "log_destination": "'stderr'",
        "logging_collector": "off",
        "log_checkpoints": "off",
        "log_min_messages": "warning",
        "log_error_verbosity": "terse",
        "log_statement": "'none'",
        # A failed statement is logged without its text: it may hold what people entered.
        "log_min_error_statement": "panic",
        "log_parameter_max_length": 0,
        "log_parameter_max_length_on_error": 0,
    }
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    return (
        f"# Written by the appliance at every start; change settings with ALTER SYSTEM.\n{lines}\n"
    )


def ident_conf(database_user: str, api_user: str) -> str:
    """Which operating system user may be which role (pg_ident.conf)."""
    pairs = [(database_user, role) for role in (SUPERUSER, OWNER_ROLE, API_ROLE)]
    pairs += [("root", role) for role in (SUPERUSER, OWNER_ROLE, API_ROLE)]
    pairs += [(api_user, API_ROLE)]
    lines = "\n".join(f'appliance "{user}" {role}' for user, role in dict.fromkeys(pairs))
    return f"# Written by the appliance at every start.\n{lines}\n"


def _connections(api_workers: int, *, ample: bool) -> int:
    # Twice, because during a handoff the APIs of two containers are clients of one server.
    of_apis, of_others = 2 * api_workers * API_CONNECTIONS, 72 if ample else 28
    return max(of_apis + of_others, 200 if ample else 60)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))
