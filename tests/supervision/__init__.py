"""What the supervisor keeps up, gives up and takes down."""
