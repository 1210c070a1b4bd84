"""Redeploys under load: ours, what images do today, and how short it could be at best."""
