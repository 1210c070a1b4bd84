"""The database changes hands while clients never stop: real processes, broken at every step."""
