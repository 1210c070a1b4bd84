"""The last step of the program that becomes Postgres: it has the lock; prepare, and exec."""

from collections.abc import Callable
from typing import NoReturn

from appliance.identities import Identities, become
from appliance.log import write_line
from appliance.postgres import binaries, cluster
from appliance.process import become as become_program
from appliance.process import end_with_parent, keep_open
from appliance.resources import Resources
from appliance.storage import Storage

PROGRAM = "postgres"


def start(
    storage: Storage,
    identities: Identities,
    resources: Resources,
    descriptor: int,
    *,
    locks_exclude: bool = True,
    when_prepared: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Become Postgres on the cluster, whose lock this process holds by `descriptor`.

    Raises StorageError, with the data untouched, if the cluster must not be started.
    """
    created = cluster.prepare(storage, identities, resources, descriptor)
    if locks_exclude:
        cluster.remove_stale_files(storage)
    write_line(PROGRAM, f"starting on the {'new' if created else 'existing'} cluster")
    when_prepared()
    keep_open(descriptor)
    executable = binaries.program("postgres")
    become(identities.database, storage.pgdata, executable)
    end_with_parent()
    become_program(executable, ["-D", str(storage.pgdata)])
