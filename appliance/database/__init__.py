"""The client of Postgres: connections, units of work, and requests that are held meanwhile."""
