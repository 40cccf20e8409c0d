"""The list of faults: each a function that puts a world into trouble, under a name and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.rig import World

CASES: dict[str, Case] = {}


@dataclass(frozen=True, slots=True)
class Case:
    """One fault. `nodes` it needs; `spoils`: its nodes cannot serve another run; `fallback`: the journal has a second
    place; `transactions`: blocks may have some; `templates_first`: no empty block before the template of a new tip.

    `inject` begins with a daemon that was not started yet and may leave everything broken: the run's end mends it.
    """

    name: str
    inject: Callable[[World], None]
    nodes: int = 1
    spoils: bool = False
    fallback: bool = False
    transactions: bool = True
    templates_first: bool = False

    @property
    def group(self) -> str:
        """What the fault strikes: the part of its name before the colon."""
        return self.name.partition(":")[0]


def case(
    name: str,
    *,
    nodes: int = 1,
    spoils: bool = False,
    fallback: bool = False,
    transactions: bool = True,
    templates_first: bool = False,
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Enter a function into the list."""

    def enter(inject: Callable[[World], None]) -> Callable[[World], None]:
        assert name not in CASES
        CASES[name] = Case(name, inject, nodes, spoils, fallback, transactions, templates_first)
        return inject

    return enter
