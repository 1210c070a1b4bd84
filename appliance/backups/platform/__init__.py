"""What the platform's hooks run."""
