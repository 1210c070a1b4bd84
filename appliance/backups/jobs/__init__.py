"""Work on backups that somebody else asked for: the API, or the schedule."""
