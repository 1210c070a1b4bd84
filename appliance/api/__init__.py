"""The HTTP API: health, the wiring of the app, and the server that runs it."""
