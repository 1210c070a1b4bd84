"""`make up` and `make test` on a minimal system, with just what README.md asks for."""
