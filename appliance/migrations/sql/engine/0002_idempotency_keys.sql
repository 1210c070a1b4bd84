-- The first answer to each Idempotency-Key. A request claims its key with the first statement of
-- its transaction, so duplicates wait here for each other; the answer is filled in by the last.
CREATE TABLE appliance.idempotency_keys (
    api_key_id bigint NOT NULL REFERENCES appliance.api_keys,
    key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    status smallint,
    location text,
    body bytea,
    PRIMARY KEY (api_key_id, key)
);
-- Rows are added in the order of time, so a tiny index is enough to prune by.
CREATE INDEX idempotency_keys_created_at ON appliance.idempotency_keys USING brin (created_at);
GRANT SELECT, INSERT, UPDATE (status, location, body) ON appliance.idempotency_keys TO app;
