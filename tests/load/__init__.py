"""The load generator: what is sent, what is recorded, what is found."""
