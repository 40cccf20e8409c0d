"""Talking to Bitcoin Core: RPC, tips, templates, health, submission, and a private node."""
