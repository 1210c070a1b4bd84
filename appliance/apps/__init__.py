"""The apps that are built in."""
