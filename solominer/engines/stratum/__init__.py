"""Stratum: the server that miners connect to, V1 here and V2 in `v2`.

Everything here is pure; the process that moves bytes stands apart.
"""
