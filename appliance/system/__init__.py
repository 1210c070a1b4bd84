"""The machine: processes, files, users, the log, and what this container may use."""
