"""The same books in every system, and the requests that are sent to them."""

from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse

from appliance.database.connect import connect
from appliance.postgres import config
from appliance.storage.paths import Storage
from appliance.web import api_keys

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


@dataclass(frozen=True)
class Request:
    """One kind of request and the status of its answer."""

    name: str
    method: str
    path: str
    status: int = 200
    body: str = ""

    def raw(self, key: str, **headers: str) -> str:
        """Its bytes; `@NUMBER@` stands for what makes each one its own."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers(key, **headers).items()]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", self.body])

    def headers(self, key: str, number: str = "@NUMBER@", **headers: str) -> dict[str, str]:
        """Its headers."""
        own = {"Authorization": f"Bearer {key}", **headers}
        if self.body:
            own |= {"Content-Type": "application/json", "Idempotency-Key": number}
        return own

    def send(self, connection: HTTPConnection, key: str, number: str) -> bytes:
        """Send one and return the answer's body."""
        headers = self.headers(key, number)
        connection.request(self.method, self.path, body=self.body or None, headers=headers)
        answer: HTTPResponse = connection.getresponse()
        body = answer.read()
        if answer.status != self.status:
            raise SystemExit(f"{self.name} was answered with {answer.status}: {body!r}")
        return body


ACCOUNT = Request("read an account", "GET", "/api/accounts/1")
PAGE = Request("read a page of 20", "GET", "/api/transactions?limit=20")
WRITE = Request("write", "POST", "/api/transactions", 201, _NEW)


def seed(storage: Storage) -> str:
    """Fill empty books and return an API key."""
    with connect(storage, config.OWNER_ROLE) as owner:
        key = api_keys.create(owner, "bench")
        with owner.transaction():
            owner.execute(_SEED.encode())
        owner.execute("ANALYZE")
    return key
