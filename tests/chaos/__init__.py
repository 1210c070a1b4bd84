"""`make chaos`: containers are redeployed, killed and paused under clients that never stop."""
