"""Backups and restores beside what pg_dump and pg_restore alone need for them."""
