"""Examinations of the machine and the nodes, and the fire drill."""
