-- Each time the database moved or came back, and what requests noticed of it.
CREATE TABLE appliance.handoffs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- handoff: given by its owner; takeover: the owner died; restart: Postgres died, its container lives
    kind text NOT NULL CHECK (kind IN ('handoff', 'takeover', 'restart')),
    served_at timestamptz NOT NULL,
    from_instance text,
    from_hostname text,
    from_version text,
    to_instance text NOT NULL,
    to_hostname text NOT NULL,
    to_version text NOT NULL,
    -- Milliseconds by phase; a phase that nobody saw is missing.
    phases_ms jsonb NOT NULL
);

-- One row for each worker process of an API that held requests while the database was away.
CREATE TABLE appliance.holds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance text,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    requests integer NOT NULL,
    given_up integer NOT NULL,
    longest_ms double precision NOT NULL
);

GRANT SELECT ON appliance.handoffs, appliance.holds TO app;
GRANT INSERT ON appliance.holds TO app;
