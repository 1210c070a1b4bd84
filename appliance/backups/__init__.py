"""Backups: created, kept in several destinations, verified by restoring them, restored."""
