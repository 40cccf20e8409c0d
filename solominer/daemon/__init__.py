"""The daemon: wires the parts together, owns their lifetime, carries out the coordinator's actions."""
