"""What every HTTP API here needs; it knows nothing of the app."""
