"""Alerts: what happened, once, to where people look."""
