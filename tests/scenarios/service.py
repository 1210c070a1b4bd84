"""What a story needs of the appliance, whatever it runs in."""

from typing import Any, Protocol

import requests


class Service(Protocol):
    """A running appliance that can be asked and killed."""

    @property
    def url(self) -> str:
        """Where clients connect."""

    def key(self) -> str:
        """An API key, made once with the command."""

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """An authenticated request."""

    def kill_everything(self) -> None:
        """SIGKILL every process of it at once."""

    def start(self) -> Any:
        """Start it again and return at once."""

    def wait_until_up(self) -> Any:
        """Wait for 200 on /up."""
