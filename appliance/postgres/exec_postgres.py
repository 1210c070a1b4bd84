"""The last step of the program that becomes Postgres: it has the lock; prepare, and exec."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn

from appliance.postgres import binaries, cluster
from appliance.storage.paths import Storage
from appliance.system.limits import ResourceLimits
from appliance.system.log import write_line
from appliance.system.process import end_with_parent, exec_program, keep_open, output_to_errors
from appliance.system.system_users import SystemUsers, drop_privileges

PROGRAM = "postgres"


def start(
    storage: Storage,
    users: SystemUsers,
    resources: ResourceLimits,
    descriptor: int,
    *,
    supervisor: int | None = None,
    locks_exclude: bool = True,
    when_prepared: Callable[[], None] = lambda: None,
    options: Mapping[str, str] = MappingProxyType({}),
) -> NoReturn:
    """Become Postgres on the cluster, whose lock this process holds by `descriptor`.

    It ends with process `supervisor`. `options` win over whatever its configuration says. Raises
    StorageError, with the data untouched, if the cluster must not be started.
    """
    created = cluster.prepare(storage, users, resources, descriptor)
    if locks_exclude:
        cluster.remove_stale_files(storage)
    write_line(PROGRAM, f"starting on the {'new' if created else 'existing'} cluster")
    when_prepared()
    keep_open(descriptor)
    executable = binaries.program("postgres")
    drop_privileges(users.database, storage.pgdata, executable)
    end_with_parent(supervisor)
    output_to_errors()
    given = [f"-c{name}={value}" for name, value in options.items()]
    exec_program(executable, ["-D", str(storage.pgdata), *given])
