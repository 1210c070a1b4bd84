"""What the tests share: real appliances as processes, looked at and broken from outside."""
