"""Backups over HTTP: paths, bodies, and the steward that does the work."""
