"""The environment contract."""
