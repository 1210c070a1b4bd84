"""Tests of what is known of the storage and the database."""
