"""Many machines on NATS."""
