"""The `appliance` command: one file for each group of commands."""
