"""The checks behind `appliance doctor`: each looks at one thing that goes wrong in practice.

They change nothing and may run beside a working appliance.
"""

from collections.abc import Callable

from appliance.doctor import check_database, check_machine, check_storage
from appliance.doctor.finding import Finding, Subject, of_error, ok, warning
from appliance.errors import ApplianceError
from appliance.facts import StorageFacts
from appliance.settings import Environment
from appliance.storage.paths import Storage

__all__ = ["Finding", "examine"]


def examine(environment: Environment) -> list[Finding]:
    """Run every check; one that itself fails is a finding too."""
    storage = Storage(environment.settings.storage_dir)
    subject = Subject(environment.settings, StorageFacts(storage))
    findings = [finding.named("settings") for finding in _settings(environment)]
    for name, check in _CHECKS.items():
        try:
            finding = check(subject)
        except (ApplianceError, OSError) as error:
            finding = of_error(error)
        findings.append(finding.named(name))
    return findings


def _settings(environment: Environment) -> list[Finding]:
    warnings = [warning(text, "See `appliance env`.") for text in environment.warnings]
    return warnings or [ok("nothing to complain about")]


_CHECKS: dict[str, Callable[[Subject], Finding]] = {
    "storage": check_storage.folder,
    "disk": check_storage.disk,
    "socket path": check_storage.socket_path,
    "locks": check_storage.locks,
    "owner": check_storage.owner,
    "users": check_machine.users,
    "programs": check_machine.programs,
    "memory": check_machine.memory,
    "shared memory": check_machine.shared_memory,
    "port": check_machine.port,
    "clock": check_machine.clock,
    "cluster": check_database.cluster_files,
    "schema": check_database.schema,
}
