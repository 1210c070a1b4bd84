"""Migrations on a real Postgres, some through real appliances."""
