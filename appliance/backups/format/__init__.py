"""What a backup consists of: its name, its manifest, its encryption."""
