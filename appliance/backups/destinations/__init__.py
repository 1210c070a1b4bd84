"""Where backups are kept: folders and S3 buckets, all with one interface."""
