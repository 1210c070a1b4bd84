"""Creating a backup: dump, read back, describe."""
