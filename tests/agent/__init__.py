"""The long-lived program of ours, with tasks that the tests control."""
