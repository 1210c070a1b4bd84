"""The documents: what they say is true, and what they tell people to type works."""
