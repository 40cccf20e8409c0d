"""Generated parts of the documents: settings, commands, modes, exit codes, messages, odds.

In a page, everything between `<!-- generated: NAME -->` and `<!-- /generated -->` is replaced; the rest is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from scripts.docsref.commands import commands
from scripts.docsref.messages import alarms, messages
from scripts.docsref.odds import odds
from scripts.docsref.settings import settings
from scripts.docsref.tables import exit_codes, modes

REPO = Path(__file__).parents[2]

BLOCKS: Mapping[str, Callable[[], str]] = {
    "alarms": alarms,
    "commands": commands,
    "exit-codes": exit_codes,
    "messages": messages,
    "modes": modes,
    "odds": odds,
    "settings": settings,
}

_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def pages() -> Iterator[Path]:
    """All pages with a generated block."""
    for page in sorted((REPO / "docs").rglob("*.md")):
        if _BLOCK.search(page.read_text()):
            yield page


def renewed(text: str) -> str:
    """The page with all blocks regenerated. Raises KeyError for a name that is not in BLOCKS."""
    return _BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]().strip()}\n\n{match[3]}", text)
