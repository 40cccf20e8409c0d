"""Checks of options that several commands have."""

from __future__ import annotations

import typer

MOST_SECS = 1e9


def some_secs(value: float | None) -> float | None:
    """For options in seconds: neither infinite nor what is no number. Raises typer.BadParameter."""
    if value is not None and not 0 <= value <= MOST_SECS:
        raise typer.BadParameter(f"it must be a number up to {MOST_SECS:.0f}")
    return value
