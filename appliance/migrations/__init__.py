"""Migrations: forward-only SQL files in two tracks, each with a ledger of what was applied."""
