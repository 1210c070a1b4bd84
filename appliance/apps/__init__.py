"""The apps that can run in the API's process, one folder each; APP says which of them does."""
