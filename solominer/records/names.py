"""Which files in the dated tree are ours, by their paths; whatever else is there belongs to somebody else."""

from __future__ import annotations

import re

HOUR = r"\d{4}/\d\d/\d\d/\d\d(?:\.[1-9]\d*)?"
_BLOCK = r"\d{1,10}-[0-9a-f]{64}"
_OURS = re.compile(
    rf"reports/{HOUR}/(?:report\.json|report\.txt|report\.sig|report\.json\.sha256|SHA256SUMS)"
    rf"|errors/{HOUR}/errors\.json"
    rf"|ledger/{HOUR}/ledger\.jsonl"
    rf"|logs/{HOUR}/solominer\.log"
    rf"|proofs/{HOUR}/(?:best-hashes|best-share|{_BLOCK})\.json"
    rf"|submissions/{HOUR}/{_BLOCK}/(?:block\.hex|facts\.json|submissions\.jsonl|states\.jsonl)"
    r"|reports/\d{4}/\d\d/\d\d/day\.json|reports/latest",
    re.ASCII,
)
_TEMPORARY = re.compile(r"(.*/)\.([^/]+)\.\d+-\d+\.tmp", re.ASCII | re.DOTALL)


def is_ours(path: str) -> bool:
    """Whether this program writes a file of this path below the network's folder."""
    return _OURS.fullmatch(path) is not None


def is_our_temporary(path: str) -> bool:
    """Whether it is what an interrupted write of one of our files left."""
    match = _TEMPORARY.fullmatch(path)
    return match is not None and is_ours(match[1] + match[2])
