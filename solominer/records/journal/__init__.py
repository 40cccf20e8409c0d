"""Found blocks on disk: saved, and read back after a restart."""
