"""What we ask of the kernel."""
