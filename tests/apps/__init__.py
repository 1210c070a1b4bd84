"""Apps as guests: what the rest knows of them, and that it works without any."""
