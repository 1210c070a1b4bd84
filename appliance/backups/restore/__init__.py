"""Restoring a backup: into a running appliance, or into a cluster of its own."""
