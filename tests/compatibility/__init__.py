"""This build beside commit 7b1dafa, kept whole: on one volume, and one after the other."""
