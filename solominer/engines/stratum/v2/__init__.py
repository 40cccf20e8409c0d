"""Stratum V2: the encrypted binary protocol, both ends of it."""
