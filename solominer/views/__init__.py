"""What people see: the console, log lines. They only read snapshots and events."""
