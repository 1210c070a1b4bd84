"""A storage goes from one build to the other and back: an update, a roll-back, an update again."""

import re
from contextlib import closing
from typing import Any

from tests.compatibility.builds import Build
from tests.compatibility.conftest import Make, both_ways
from tests.handoff.client import Client
from tests.harness.appliance import Appliance
from tests.scenarios.bookkeeper import transaction

COMPLAINTS = re.compile(r"warning|error|fatal|panic|traceback", re.IGNORECASE)


class Writer:
    """One client of whatever runs on the storage; what it was told once must stay true."""

    def __init__(self, first: Appliance) -> None:
        self._client = Client(first.key())
        self._accounts = [self._open_account(first, name) for name in ("Cash", "Sales")]
        self._acknowledged: list[Any] = []

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def write(self, to: Appliance) -> None:
        """Record one more transaction."""
        self._acknowledged.append(self._record(to, len(self._acknowledged)))

    def check(self, at: Appliance) -> None:
        """Everything is there as it was, and what is sent again is known and not done again."""
        again = [self._record(at, number) for number in range(len(self._acknowledged))]
        assert again == self._acknowledged
        there = self._client.pages(at.url, "/api/transactions")
        assert sorted(there, key=lambda entry: entry["id"]) == self._acknowledged
        assert self._client.ask(at.url, "GET", "/api/trial-balance").document["balanced"] is True

    def _record(self, to: Appliance, number: int) -> Any:
        body, key = transaction(number, self._accounts), {"Idempotency-Key": f"sale-{number}"}
        answer = self._client.ask(to.url, "POST", "/api/transactions", body, **key)
        assert answer.status == 201, answer
        return answer.document

    def _open_account(self, to: Appliance, name: str) -> int:
        body = {"name": name, "kind": "asset", "currency": "EUR"}
        answer = self._client.ask(to.url, "POST", "/api/accounts", body)
        assert answer.status == 201, answer
        return int(answer.document["id"])


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
