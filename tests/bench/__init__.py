"""The bench measures and reports; that it does is tested here, what it finds is not."""
