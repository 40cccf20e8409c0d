"""The errors of one hour: each is stored once with all its fields, then counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

SCHEMA = "solominer-errors/2"
MAX_DISTINCT = 256
SEVERITIES = ("critical", "high", "medium", "low", "info")

_DIGITS = re.compile(r"\d+")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


def error_id(code: str, severity: str, message: str) -> str:
    """An id for equal errors, ignoring numbers in the message (ports, heights, pids)."""
    same = f"{code}|{severity}|{_DIGITS.sub('#', message)}"
    return f"{code}-{sha256(same.encode('utf-8', 'replace')).hexdigest()[:8]}"


def scrub(text: str) -> str:
    """The text with credentials in URLs masked."""
    return _CREDENTIALS.sub("***@", text)


class ErrorLog:
    """Counts the `error` entries of an hour by id; beyond 256 different ones, only by severity."""

    def __init__(self) -> None:
        self.by_severity: Counter[str] = Counter()
        self._errors: dict[str, dict[str, Any]] = {}
        self.other_errors = 0

    def __contains__(self, id_: object) -> bool:
        return id_ in self._errors

    def add(self, entry: Mapping[str, Any]) -> None:
        """Count an entry of the ledger."""
        severity = str(entry.get("severity", "info"))
        self.by_severity[severity if severity in SEVERITIES else "info"] += 1
        id_ = str(entry["id"])
        known = self._errors.get(id_)
        if known is not None:
            known["count"] += 1
            known["last_at"] = entry["at"]
        elif len(self._errors) >= MAX_DISTINCT:
            self.other_errors += 1
        else:
            fields = {key: value for key, value in entry.items() if key not in ("seq", "at", "up", "kind")}
            self._errors[id_] = {**fields, "count": 1, "first_at": entry["at"], "last_at": entry["at"]}

    @property
    def distinct(self) -> int:
        """How many different errors there are, up to 256."""
        return len(self._errors)

    def document(self, network: str, part: str) -> dict[str, Any]:
        """The content of `errors.json` (docs/schemas/errors.schema.json), most severe first."""
        worst_first = sorted(self._errors.values(), key=lambda error: (_rank(error), -error["count"]))
        return {
            "schema": SCHEMA,
            "network": network,
            "part": part,
            "errors": worst_first,
            "other_errors": self.other_errors,
        }


def _rank(error: Mapping[str, Any]) -> int:
    severity = error.get("severity")
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
