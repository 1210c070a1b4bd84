"""PID 1, and the programs that it runs."""
