"""Errors and alarms of the ledger as the API shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ErrorAt(BaseModel):
    """An error: how often it occurred, last `at`, and what to do. `severity` is critical, high, medium, low or info."""

    at: float
    first_at: float
    severity: str
    code: str
    message: str
    todo: str
    count: int


def error_of(lines: list[dict[str, Any]]) -> ErrorAt:
    """One error from its `error` lines, newest first; the first one of each hour has its text."""
    told = next((line for line in lines if "message" in line), lines[0])
    return ErrorAt(
        at=lines[0]["at"],
        first_at=lines[-1]["at"],
        severity=str(told.get("severity", "info")),
        code=str(told.get("code", "")),
        message=str(told.get("message", "")),
        todo=str(told.get("done", "")),
        count=len(lines),
    )
