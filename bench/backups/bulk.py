"""Books by the bulk: as many gigabytes as are asked for, of what compresses well and what does not.

The rows are written as the app would have left them, and the books balance. The triggers that
check each transaction are left out: they would take most of the time.
"""

from appliance.database.connect import Connection, connect
from appliance.postgres import config
from appliance.storage.paths import Storage

_GIGABYTE = 1_000_000_000
_AT_ONCE = 1000

_ACCOUNTS = """
    INSERT INTO accounts (name, kind, currency)
    SELECT 'Bulk ' || n, (ARRAY['asset', 'income'])[1 + n % 2], 'EUR'
    FROM generate_series(1, 100) n ON CONFLICT DO NOTHING
"""
# Half of the bytes are random, a quarter is text: what people upload, and what they write.
_DOCUMENTS = """
    CREATE TABLE IF NOT EXISTS documents (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
        content bytea NOT NULL,
        note text NOT NULL
    )
"""
_TRANSACTIONS = """
    WITH made AS (
        INSERT INTO transactions (date, description, posting_count)
        SELECT date '2020-01-01' + (random() * 2000)::integer,
            'Order ' || (random() * 1e9)::integer || ', paid by card', 2
        FROM generate_series(1, %(count)s) RETURNING id
    ), accounts AS MATERIALIZED (
        SELECT min(id) AS first FROM accounts WHERE name LIKE 'Bulk %%'
    ), posted AS (
        INSERT INTO postings (transaction_id, position, account_id, amount)
        SELECT id, position, first + (id * position) %% 100,
            CASE position WHEN 1 THEN 1 ELSE -1 END * round((1 + id %% 99999) / 100.0, 2)
        FROM made CROSS JOIN generate_series(1, 2) position CROSS JOIN accounts
    )
    INSERT INTO appliance.idempotency_keys
        (api_key_id, key, fingerprint, status, location, body)
    SELECT (SELECT min(id) FROM appliance.api_keys), gen_random_uuid(),
        sha256(int8send(id)), 201, '/api/transactions/' || id, convert_to(json_build_object(
            'id', id, 'date', '2026-11-20', 'description', 'Order ' || id || ', paid by card',
            'created_at', now(), 'postings', json_build_array(
                json_build_object('account_id', id %% 100, 'amount', id %% 99999 || '.50'),
                json_build_object('account_id', id %% 99, 'amount', -id %% 99999 || '.50')
            ))::text, 'UTF8')
    FROM made
"""
_FILL_DOCUMENTS = """
    INSERT INTO documents (content, note)
    SELECT (
        SELECT string_agg(sha512(int8send(n * 100 + piece + seed)), ''::bytea)
        FROM generate_series(1, 10) piece
    ), repeat('Received with thanks, and put on the shelf. ', 5) || n + seed
    FROM generate_series(1, %(count)s) n, (SELECT (random() * 1e15)::bigint AS seed) seeds
"""


def fill(storage: Storage, gigabytes: float) -> None:
    """Add rows until there are so many gigabytes of them, those added before included."""
    with connect(storage, config.SUPERUSER) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("SET synchronous_commit = off")
        superuser.execute(_ACCOUNTS)
        superuser.execute(_DOCUMENTS)
        while _bytes(superuser) < gigabytes * _GIGABYTE:
            superuser.execute(_TRANSACTIONS, {"count": _AT_ONCE})
            superuser.execute(_FILL_DOCUMENTS, {"count": _AT_ONCE})
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")


def _bytes(connection: Connection) -> int:
    """What the tables of the bulk take, with their indexes."""
    row = connection.execute(
        "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest("
        "ARRAY['transactions', 'postings', 'documents', 'appliance.idempotency_keys']) name"
    ).fetchone()
    assert row is not None
    return int(row[0])
