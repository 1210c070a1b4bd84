"""How backups talk to Postgres: its own programs, its databases, checksums of what they hold."""
