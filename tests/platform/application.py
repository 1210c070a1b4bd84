"""An application's settings, and the environment that ONCE makes of them."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.platform.volume import Secrets

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Mail:
    """How to send mail."""

    address: str
    port: str = "587"
    username: str = ""
    password: str = ""
    sender: str = ""

    def environment(self) -> dict[str, str]:
        """ONCE's five variables."""
        return {
            "SMTP_ADDRESS": self.address,
            "SMTP_PORT": self.port,
            "SMTP_USERNAME": self.username,
            "SMTP_PASSWORD": self.password,
            "MAILER_FROM_ADDRESS": self.sender,
        }


@dataclass(frozen=True)
class Application:
    """What the operator chose. It is kept in a label of the container and in the backup."""

    name: str
    image: str
    tls: bool = False
    cpus: int = 0
    memory_mib: int = 0
    mail: Mail | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self, secrets: Secrets) -> dict[str, str]:
        """The container's environment: ONCE's variables, then the user's own."""
        environment = secrets.environment()
        if not self.tls:
            environment["DISABLE_SSL"] = "true"
        if self.cpus:
            environment["NUM_CPUS"] = str(self.cpus)
        if self.mail:
            environment |= self.mail.environment()
        return environment | self.variables

    def limits(self) -> dict[str, Any]:
        """The container's limits, those that are set."""
        limits = {"mem_limit": self.memory_mib * MEBIBYTE, "nano_cpus": self.cpus * 10**9}
        return {name: value for name, value in limits.items() if value}

    def to_json(self) -> str:
        """The text of the label."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Application":
        """Read the label back."""
        document: dict[str, Any] = json.loads(text)
        if document["mail"] is not None:
            document["mail"] = Mail(**document["mail"])
        return cls(**document)
