"""The state and history in the shapes of other programs: public-pool's API, ckpool's status files."""
