"""The main job: a thousand transactions by several clients, and SIGKILL in the middle."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from tests.scenarios.bookkeeper import RETRY_FOR_S, Bookkeeper
from tests.scenarios.service import Service


def run(service: Service, count: int = 1000, clients: int = 4) -> None:
    """Record, kill, start again; then every acknowledged transaction is there exactly once."""
    bookkeeper = Bookkeeper(service)
    with ThreadPoolExecutor(1) as pool:
        clients_at_work = pool.submit(bookkeeper.record, count, clients)
        bookkeeper.writes.acknowledged.wait_for(count // 2, RETRY_FOR_S)
        service.kill_everything()
        assert len(bookkeeper.writes.acknowledged) < count, "killed too late to prove anything"
        service.start()
        service.wait_until_up()
        clients_at_work.result()
    check(bookkeeper, count)


def check(bookkeeper: Bookkeeper, count: int) -> None:
    """Each acknowledged transaction exactly once, nothing else, and books that balance."""
    recorded = bookkeeper.recorded()
    assert Counter(entry["description"] for entry in recorded) == {
        f"Sale {number}": 1 for number in range(count)
    }
    balance = bookkeeper.trial_balance()
    assert len(bookkeeper.writes.acknowledged) == count
    assert bookkeeper.writes.check(recorded, balance) == []
    total = Decimal(count * (count + 1) // 2) / 100
    assert balance["balanced"] is True
    assert [Decimal(line["difference"]) for line in balance["totals"]] == [Decimal(0)]
    assert Decimal(balance["totals"][0]["debit"]) == total
