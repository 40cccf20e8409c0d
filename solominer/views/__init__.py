"""The user interface: console and log lines. It only reads snapshots and events."""
