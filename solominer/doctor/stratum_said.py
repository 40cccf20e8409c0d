"""What a Stratum server said, as it may be shown."""

from __future__ import annotations

from solominer.engines.stratum.client import Refusal
from solominer.errors import printable
from solominer.views.text import scaled


def refusal_text(refusal: Refusal) -> str:
    """The code and the reason."""
    text = printable(refusal.text, 200) or "no reason given"
    return text if refusal.code is None else f"{refusal.code} {text}"


def difficulty_text(difficulty: float) -> str:
    """A difficulty for people: exact below a million."""
    return f"{difficulty:.10g}" if difficulty < 1e6 else scaled(difficulty, "").rstrip()
