"""What happened, as JSON lines in a file per hour, and their index."""
