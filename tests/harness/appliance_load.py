"""The load generator on appliances; its waits are longer on a slow or crowded machine."""

from typing import Protocol

from load import books_load
from load.books_load import BooksLoad
from load.client import Client
from load.switch import Backend, Switch
from tests.harness import speed

CLIENTS = 4
# Other tests run on this machine too.
THINK_TIME_S = 0.004


class Served(Backend, Protocol):
    """Something that serves, and makes a key for those who ask it."""

    def key(self) -> str:
        """An API key."""


class Load(BooksLoad[Served]):
    """Clients at work while the `with` block lasts. The first appliance makes their key."""

    def __init__(self, *appliances: Served, clients: int = CLIENTS) -> None:
        super().__init__(
            *appliances,
            key=appliances[0].key(),
            clients=clients,
            think_time_s=THINK_TIME_S,
            limit_s=books_load.LIMIT_S * speed.scale(),
        )

    def __enter__(self) -> "Load":
        super().__enter__()
        self.wait_for_more()
        return self


def client_of(*appliances: Served) -> Client[Served]:
    """One client, which asks these in turn."""
    return Client(Switch(*appliances), appliances[0].key())
