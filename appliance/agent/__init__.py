"""The small long-lived program: it migrates, moves the database, and keeps house."""
