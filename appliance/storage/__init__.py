"""The volume: its paths, the lock, the containers that share it, and copies that are made of it."""
