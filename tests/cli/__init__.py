"""The `appliance` command, as people and programs call it."""
