"""The platform's hooks without containers: what its copies prove, and what becomes of them."""
