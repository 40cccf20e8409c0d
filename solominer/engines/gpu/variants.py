"""The kernel variants: what they share, which part of the additions the multipliers do, and their work group."""

from __future__ import annotations

from dataclasses import dataclass

MIDSTATES = 32  # per launch at most


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """One way to write the search.

    `shared`: up to 32 midstates share a message schedule; else a launch has one. `multiplied`: the part of the
    additions that are multiply-adds. `local`: work items per group.
    """

    name: str
    shared: bool
    multiplied: float
    local: int

    @property
    def midstates(self) -> int:
        """The most midstates of a launch."""
        return MIDSTATES if self.shared else 1


VARIANTS: tuple[VariantInfo, ...] = tuple(
    VariantInfo(f"{kind}-{part}-{local}", kind == "shared", multiplied, local)
    for kind in ("shared", "plain")
    for part, multiplied in (("multiplied", 1.0), ("half", 0.5), ("added", 0.0))
    for local in (128, 256, 64)
)
