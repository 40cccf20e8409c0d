"""Reports of older schema versions, read as the current one.

`solominer-report/2` renamed fields of `solominer-report/1`; `_RENAMED_IN_2` lists them.

Files of a sealed hour are never rewritten, so a tree may hold reports of several versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

REPORT_SCHEMA = "solominer-report/2"
READABLE = ("solominer-report/1", REPORT_SCHEMA)

_RENAMED_IN_2 = {
    "shares": {"all_told": "complete"},
    "ledger": {"odd_lines": "unparsed_lines"},
    "search": {"least_p": "min_p_value"},
    "nodes": {"looks": "samples", "unusable_looks": "unusable_samples"},
}


def current_report(report: dict[str, Any]) -> dict[str, Any]:
    """The report with the names of REPORT_SCHEMA. One of the current or of an unknown version is returned as it is."""
    if report.get("schema") != "solominer-report/1":
        return report
    return {**report, "schema": REPORT_SCHEMA, **dict(_renamed(report))}


def _renamed(report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, names in _RENAMED_IN_2.items():
        value = report.get(section)
        if isinstance(value, dict):
            yield section, _with_names(value, names)
        elif isinstance(value, list):
            yield section, [_with_names(item, names) if isinstance(item, dict) else item for item in value]


def _with_names(value: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): item for name, item in value.items()}
