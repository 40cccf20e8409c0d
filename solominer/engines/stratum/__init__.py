"""Stratum V1: the server that miners connect to. Everything here is pure; the process that moves bytes stands apart."""
