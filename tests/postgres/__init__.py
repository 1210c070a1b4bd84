"""The cluster on disk: how it is made, looked at, and refused."""
