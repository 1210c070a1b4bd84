"""The same books in every system, and the requests that are sent to them."""

from appliance.database.connect import connect
from appliance.postgres import config
from appliance.storage.paths import Storage
from appliance.web import api_keys
from load.connection import KeptConnection
from load.http_request import HttpRequest

# Accounts 1 and 2 are read and have 50 postings each; writes go to 3 and 4, so that the read
# stays the same however much was written.
_SEED = """
INSERT INTO accounts (name, kind, currency)
SELECT 'Account ' || n, (ARRAY['asset', 'income'])[1 + n % 2], 'EUR' FROM generate_series(1, 4) n;
WITH made AS (
    INSERT INTO transactions (date, description, posting_count)
    SELECT '2026-11-20', 'Seed ' || n, 2 FROM generate_series(1, 1000) n RETURNING id
)
INSERT INTO postings (transaction_id, position, account_id, amount)
SELECT id, position, CASE WHEN id % 20 = 0 THEN 0 ELSE 2 END + position,
    CASE position WHEN 1 THEN 12.50 ELSE -12.50 END
FROM made CROSS JOIN generate_series(1, 2) position;
"""
_POSTINGS = '[{"account_id":3,"amount":"12.50"},{"account_id":4,"amount":"-12.50"}]'
_NEW = f'{{"date":"2026-11-20","description":"Sold a book","postings":{_POSTINGS}}}'


ACCOUNT = HttpRequest("read an account", "GET", "/api/accounts/1")
PAGE = HttpRequest("read a page of 20", "GET", "/api/transactions?limit=20")
WRITE = HttpRequest("write", "POST", "/api/transactions", 201, _NEW)
# Reads and writes in turn.
MIX = (ACCOUNT, WRITE)


def seed(storage: Storage) -> str:
    """Fill empty books and return an API key."""
    with connect(storage, config.OWNER_ROLE) as owner:
        key = api_keys.create(owner, "bench")
        with owner.transaction():
            owner.execute(_SEED.encode())
        owner.execute("ANALYZE")
    return key


def send(connection: KeptConnection, request: HttpRequest, key: str, number: str) -> bytes:
    """Send one and return the answer's body; ends the bench if it is not as it must be."""
    response = connection.ask(request.message(key, number))
    if response.status != request.status:
        raise SystemExit(f"{request.name} was answered with {response.status}: {response.body!r}")
    return response.body
