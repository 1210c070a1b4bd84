-- A writing transaction leaves one token here, so that its outcome can be looked up when the
-- connection is lost during COMMIT. Old ones are pruned by the steward.
CREATE TABLE appliance.commit_tokens (
    token uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX commit_tokens_created_at ON appliance.commit_tokens USING brin (created_at);
GRANT SELECT, INSERT ON appliance.commit_tokens TO app;
