"""The appliance: a web application and its Postgres 16 in one container."""

__version__ = "0.1.0"
