"""The real image in real containers, driven as the platform drives them."""
