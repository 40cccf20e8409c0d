"""The kernel variants: what they share, what an NVIDIA card's multipliers do, and the size of their work groups."""

from __future__ import annotations

from dataclasses import dataclass

from solominer.engines.gpu.source_words import Products
from solominer.errors import ConfigError

MIDSTATES = 32  # per launch at most

BY_CUDA = "cuda-"
"""Before the name of a variant that is compiled by CUDA for a card that has OpenCL, too."""


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """One way to write the search.

    `shared`: up to 32 midstates share a message schedule; else a launch has one. `local`: work items per group.
    """

    name: str
    shared: bool
    products: Products
    local: int

    @property
    def midstates(self) -> int:
        """The most midstates of a launch."""
        return MIDSTATES if self.shared else 1


_PRODUCTS = {
    "added": Products(),
    "half": Products(additions=0.5),
    "multiplied": Products(additions=1),
    "shifted": Products(additions=1, shifts=1),
    "rotated": Products(additions=1, shifts=1, rotations=0.25),
}
_KINDS = [("shared", _PRODUCTS), ("plain", {name: _PRODUCTS[name] for name in ("added", "multiplied")})]

VARIANTS: tuple[VariantInfo, ...] = tuple(
    VariantInfo(f"{kind}-{name}-{local}", kind == "shared", products, local)
    for kind, choices in _KINDS
    for name, products in choices.items()
    for local in (128, 256, 64)
)


def variant(name: str) -> VariantInfo:
    """The variant of that name, also with BY_CUDA before it. Raises ConfigError if there is none."""
    for info in VARIANTS:
        if info.name == name.removeprefix(BY_CUDA):
            return info
    known = ", ".join(info.name for info in VARIANTS)
    raise ConfigError(f"GPU kernel {name}: there is no such kernel", f"choose one of {known}, or none for the fastest")
