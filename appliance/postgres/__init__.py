"""Postgres: its files, who owns it, and how to work with it."""
