"""The result of a verification, as lines and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from solominer.records.files import shown


@dataclass(slots=True)
class VerifyResult:
    """`wrong` has (file, reason); `checked` and `unchecked` count sentences, in which `{n}` stands for the count."""

    checked: Counter[str] = field(default_factory=Counter)
    unchecked: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def fail(self, path: str, reason: str) -> None:
        """Add a problem with a file."""
        self.wrong.append((shown(path, 500), shown(reason, 500)))

    def expect(self, holds: bool, checked: str, path: str, reason: str) -> bool:
        """Count the sentence `checked` if `holds`, else fail with `reason`. Returns `holds`."""
        if holds:
            self.checked[checked] += 1
        else:
            self.fail(path, reason)
        return holds

    def lines(self, most: int = 50) -> Iterator[str]:
        """As text: what was checked, what was not, the first `most` problems, and the verdict."""
        for sentence, count in self.checked.items():
            yield f"checked    {sentence.format(n=f'{count:,}')}"
        for sentence, count in self.unchecked.items():
            yield f"unchecked  {sentence.format(n=f'{count:,}')}"
        for path, reason in self.wrong[:most]:
            yield f"WRONG      {path}: {reason}"
        if len(self.wrong) > most:
            yield f"           and {len(self.wrong) - most:,} more"
        yield "VERIFIED: every check passed" if self.holds else f"FAILED: {len(self.wrong):,} wrong"

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "holds": self.holds,
            "checked": dict(self.checked),
            "unchecked": dict(self.unchecked),
            "wrong": [{"path": path, "reason": reason} for path, reason in self.wrong],
        }
