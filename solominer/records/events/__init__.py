"""The coordinator's events, written down so that they can be run again."""
