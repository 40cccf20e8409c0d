"""Engines: they receive jobs and find shares."""
