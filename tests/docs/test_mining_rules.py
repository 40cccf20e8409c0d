"""The rulebook: every rule that the program or a test cites by number is in docs/mining-rules.md, with a source."""

from __future__ import annotations

import re

from scripts.docsref import REPO

CITED = re.compile(r"\b[Rr]ules? (S?\d+(?:(?:, | and | to |, and )S?\d+)*)")
ROW = re.compile(r"^\| (S?\d+) \| .+ \| (.+) \|$", re.M)


def cited(text: str) -> set[str]:
    """The numbers that a text cites: `rules S1, 7 and 40 to 42` cites six of them."""
    numbers: set[str] = set()
    for listed in CITED.findall(text):
        for part in re.split(r", and |, | and ", listed):
            first, _, last = part.partition(" to ")
            numbers |= {str(n) for n in range(int(first), int(last) + 1)} if last else {first}
    return numbers


def test_every_cited_rule_is_in_the_rulebook() -> None:
    rows = ROW.findall((REPO / "docs/mining-rules.md").read_text())
    numbers = [number for number, source in rows if source.strip()]
    assert numbers == ["S1", "S2", "S3", *map(str, range(1, 50))]
    used = {
        path.relative_to(REPO): cited(path.read_text())
        for folder in ("solominer", "tests", "scripts", "regtest")
        for path in (REPO / folder).rglob("*.py")
        if path.name != "test_mining_rules.py"
    }
    assert sum(map(len, used.values())) > 40, "the pattern still finds the citations"
    assert {path: missing for path, found in used.items() if (missing := found - {*numbers})} == {}


def test_lists_and_ranges_are_read() -> None:
    assert cited("(mining rules S1, 9 and 48), rules 40 to 42, rule 7.") == {"S1", "9", "48", "40", "41", "42", "7"}
