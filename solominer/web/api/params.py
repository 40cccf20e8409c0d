"""Parameters that several endpoints take, and their bounds."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

MOST_SECS = 1e12
MOST_SEQ = 2**53

Since = Annotated[
    float | None, Query(ge=0, le=MOST_SECS, allow_inf_nan=False, description="Unix seconds: nothing older than this.")
]
Before = Annotated[int | None, Query(ge=0, le=MOST_SEQ, description="Continues a list: `next` of the previous answer.")]


def limit(most: int) -> Any:
    """The largest number of items, from 1 to `most`."""
    return Query(ge=1, le=most, description="At most so many items.")
