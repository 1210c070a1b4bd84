"""Units of work over connections that are cut at the worst moment."""
