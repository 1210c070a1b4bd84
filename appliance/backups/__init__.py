"""Backups that are proven to restore: made, kept in several places, verified, restored."""
