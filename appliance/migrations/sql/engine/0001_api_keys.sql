-- Keys of API clients. Only the hash of a key's secret is kept; a revoked key keeps its row, for
-- the answers that idempotency_keys holds for it. The API may look keys up, never make them.
CREATE TABLE appliance.api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE CHECK (public_id ~ '^[0-9a-f]{12}$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE UNIQUE INDEX api_keys_live_name ON appliance.api_keys (name) WHERE revoked_at IS NULL;
GRANT SELECT ON appliance.api_keys TO app;
