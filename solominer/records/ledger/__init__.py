"""The ledger: JSON lines in one file per hour, and their index."""
