"""Backups: what is decided and written down about them, and that they restore."""
