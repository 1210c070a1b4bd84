"""The main job: a thousand transactions by several clients, and SIGKILL in the middle."""

import threading
from collections import Counter
from decimal import Decimal

from tests.scenarios.bookkeeper import Bookkeeper
from tests.scenarios.service import Service


def run(service: Service, count: int = 1000, clients: int = 4) -> None:
    """Record, kill, start again; then every acknowledged transaction is there exactly once."""
    bookkeeper = Bookkeeper(service)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            bookkeeper.record(count, clients)
        except BaseException as error:
            failures.append(error)

    clients_at_work = threading.Thread(target=work)
    clients_at_work.start()
    bookkeeper.wait_for_acknowledged(count // 2)
    service.kill_everything()
    assert len(bookkeeper.acknowledged) < count, "killed too late to prove anything"
    service.start()
    service.wait_until_up()
    clients_at_work.join()
    assert not failures, failures
    check(bookkeeper, count)


def check(bookkeeper: Bookkeeper, count: int) -> None:
    """Each acknowledged transaction exactly once, nothing else, and books that balance."""
    recorded = bookkeeper.recorded()
    assert Counter(entry["description"] for entry in recorded) == {
        f"Sale {number}": 1 for number in range(count)
    }
    ids = {entry["id"]: entry["description"] for entry in recorded}
    assert {number: ids.get(identity) for number, identity in bookkeeper.acknowledged.items()} == {
        number: f"Sale {number}" for number in range(count)
    }
    balance = bookkeeper.trial_balance()
    total = Decimal(count * (count + 1) // 2) / 100
    assert balance["balanced"] is True
    assert [Decimal(line["difference"]) for line in balance["totals"]] == [Decimal(0)]
    assert Decimal(balance["totals"][0]["debit"]) == total
