"""From a template to jobs to search space, and the state machine that decides. Pure: no I/O, no clock."""
