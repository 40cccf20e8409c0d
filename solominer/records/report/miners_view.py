"""The miners of a report as text and as HTML.

Names come from outside: they are escaped, and shortened in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from solominer.errors import printable, shortened
from solominer.records.report.formats import duration, interval_text, short

LISTED = 20
_NAME = 40


def miner_lines(section: Mapping[str, Any] | None) -> Iterator[str]:
    """The miners' section of a report as plain text."""
    if section is None:
        return
    rejected = _rejected(section["rejected"])
    yield (
        f"miners     {section['seen']:,} seen, {section['shares']:,} shares, {short(section['hashes'])}H credited,"
        f" {rejected}, {section['connects']:,} logins"
    )
    if section["server_ended"]:
        yield (
            f"           the Stratum server exited unexpectedly ({section['server_ended']} times);"
            " up to a second of shares before each exit is not counted"
        )
    for row in section["workers"][:LISTED]:
        yield f"  {_short(row['worker'].partition('/')[2])}: {_row_text(row)}"
    if len(section["user_agents"]) > 1:
        for row in section["user_agents"][:LISTED]:
            yield f"  client {_short(row['user_agent'] or 'unknown')} ({row['workers']}): {_row_text(row)}"
    unlisted = max(0, len(section["workers"]) - LISTED)
    if unlisted or section["others"] is not None:
        yield f"  and {unlisted + (section['others'] or {'miners': 0})['miners']:,} more"


def _row_text(row: Mapping[str, Any]) -> str:
    rate = "" if row["rate_hps"] is None else f"{interval_text(row['rate_hps'], 'H/s')}, "
    best = "" if row["best_difficulty"] is None else f", best {short(row['best_difficulty']).strip()}"
    flag = row["mismatch"]
    wrong = [*(flag["reasons"] if flag and flag["flagged"] else ()), *(f"fails {test}" for test in row["alarms"])]
    return (
        f"{rate}{row['shares']:,} shares, {_rejected(row['rejected'])}{best},"
        f" connected {duration(row['connected_secs'])}" + (f"  MISMATCH: {'; '.join(wrong)}" if wrong else "")
    )


def _rejected(reasons: Mapping[str, int]) -> str:
    by_reason = ", ".join(f"{count:,} {printable(reason, 40)}" for reason, count in reasons.items())
    return f"{sum(reasons.values()):,} rejected" + (f" ({by_reason})" if by_reason else "")


def _short(name: str) -> str:
    return printable(shortened(name, _NAME))


def miners_fragment(section: Mapping[str, Any] | None) -> str:
    """HTML for the page of an hour: a row for each miner and each client."""
    if section is None:
        return ""

    def row(name: str, sums: Mapping[str, Any]) -> str:
        cells = (
            _short(name),
            "" if sums["rate_hps"] is None else interval_text(sums["rate_hps"], "H/s"),
            f"{sums['shares']:,}",
            _rejected(sums["rejected"]),
            "" if sums["best_difficulty"] is None else short(sums["best_difficulty"]).strip(),
            duration(sums["connected_secs"]),
            ", ".join(f"{test} {p_value:.2g}" for test, p_value in sums["p_values"].items()),
        )
        return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"

    heads = ("miner", "hash rate (95 %)", "shares", "rejected", "best difficulty", "connected", "p-values of tests")
    rows = [row(each["worker"].partition("/")[2], each) for each in section["workers"]]
    rows += [row(f"client: {each['user_agent']}", each) for each in section["user_agents"]]
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    return f"<h2>Miners</h2><table><tr>{head}</tr>{''.join(rows)}</table>"
