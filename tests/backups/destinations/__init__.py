"""Destinations against what they speak to: a real disk, real S3 servers, and bad lines to them."""
