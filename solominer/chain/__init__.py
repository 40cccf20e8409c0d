"""Bitcoin's rules: bytes in, frozen values out. Pure: no I/O, no clock, no configuration."""
