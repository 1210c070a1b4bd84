"""Backups over HTTP: paths and bodies; the agent does the work."""
