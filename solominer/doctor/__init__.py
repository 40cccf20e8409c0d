"""Checks of the machine and the nodes, and the smoke test."""
