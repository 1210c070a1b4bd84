"""The database changes hands between containers while both serve: docs/handoff.md."""
