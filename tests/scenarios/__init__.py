"""Whole stories, told once and run on processes of this machine and on containers."""
