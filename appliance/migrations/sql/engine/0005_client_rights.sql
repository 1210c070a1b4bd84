-- What the app's own migrations make in schema public is the API's to read and write. The books are
-- older than this and stay append-only; a later table of ours in public has to REVOKE what it must.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO app;
