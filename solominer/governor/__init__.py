"""The single owner of pauses, schedule, policies, throttling and the number of active workers."""
