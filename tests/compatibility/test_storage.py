"""A storage goes from one build to the other and back: an update, a roll-back, an update again."""

import re
from contextlib import closing
from typing import Any

from load import bookkeeping
from load.client import Client
from load.switch import Switch
from load.writes import sale
from tests.compatibility.builds import Build
from tests.compatibility.conftest import Make, both_ways
from tests.harness.appliance import Appliance

# Whoever connects a moment too early is told so by Postgres, and comes again.
COMPLAINTS = re.compile(
    r"warning|error|fatal(?!:  the database system is starting up)|panic|traceback", re.IGNORECASE
)


class Writer:
    """One client of whatever runs on the storage; what it was told once must stay true."""

    def __init__(self, first: Appliance) -> None:
        self._switch = Switch(first)
        self._client = Client(self._switch, first.key())
        self._accounts = bookkeeping.open_accounts(self._client, "Cash", "Sales")
        self._acknowledged: list[Any] = []

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def write(self, to: Appliance) -> None:
        """Record one more transaction."""
        self._switch.switch(to)
        self._acknowledged.append(self._record(len(self._acknowledged)))

    def check(self, at: Appliance) -> None:
        """Everything is there as it was, and what is sent again is known and not done again."""
        self._switch.switch(at)
        again = [self._record(number) for number in range(len(self._acknowledged))]
        assert again == self._acknowledged
        there = bookkeeping.transactions(self._client)
        assert sorted(there, key=lambda entry: entry["id"]) == self._acknowledged
        assert bookkeeping.trial_balance(self._client)["balanced"] is True

    def _record(self, number: int) -> Any:
        return self._client.ask(sale(number, self._accounts).request, f"sale-{number}").document


@both_ways
def test_it_starts_with_either_build_without_a_word_from_anybody_and_holds_the_same(
    make: Make, first: Build
) -> None:
    appliance = make(first).start().wait_until_up()
    with closing(Writer(appliance)) as writer:
        writer.write(appliance)
        assert appliance.stop() == 0
        for build in (first.other, first, first.other):
            appliance = make(build).start().wait_until_up()
            assert COMPLAINTS.findall(appliance.log) == [], appliance.log
            assert appliance.status("/ready") == 200
            writer.check(appliance)
            writer.write(appliance)
            writer.check(appliance)
            assert appliance.stop() == 0


def test_a_life_without_an_app_takes_nothing_from_the_build_before(make: Make) -> None:
    appliance = make(Build.OLD).start().wait_until_up()
    with closing(Writer(appliance)) as writer:
        writer.write(appliance)
        assert appliance.stop() == 0
        without = make(Build.NEW, APP="none").start().wait_until_up()
        assert COMPLAINTS.findall(without.log) == [], without.log
        assert without.status("/ready") == 200
        assert without.stop() == 0
        again = make(Build.OLD).start().wait_until_up()
        writer.check(again)
        writer.write(again)
        writer.check(again)
