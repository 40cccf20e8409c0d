"""The coordinator's events, recorded for replay."""
