"""The modes of `solominer run`, in one table for configuration, commands and documents."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from solominer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Mode:
    """Properties of one mode.

    `network` is the default network; `other_networks` may be configured instead. `node` is whose node it uses.
    `submits`: found blocks are submitted; `proposes_only`: they are only checked by the node in proposal mode.
    `simulated`: no node, everything but the hashing is simulated. `asks`: the first run asks for confirmation.
    `bounded`: a run requires a limit. `at_a_pool`: no node, pools give the work and get the shares.
    """

    name: str
    network: str
    node: str
    about: str
    other_networks: tuple[str, ...] = ()
    submits: bool = True
    proposes_only: bool = False
    simulated: bool = False
    asks: bool = False
    bounded: bool = False
    at_a_pool: bool = False

    def tree_name(self, network: str) -> str:
        """The records folder; simulated, bounded and never submitted runs have their own."""
        if self.simulated:
            return self.name
        return f"{self.name}-{network}" if self.bounded or not self.submits else network

    def allows(self, network: str) -> bool:
        """Whether this mode may run on that network."""
        return network == self.network or network in self.other_networks


_ALL = ("mainnet", "testnet3", "testnet4", "signet", "regtest")

_TABLE = (
    Mode("production", "mainnet", "yours", "real mining; the first run asks for confirmation", asks=True),
    Mode(
        "testnet4",
        "testnet4",
        "yours",
        "the public test network; its coins have no value",
        other_networks=("testnet3",),
    ),
    Mode("signet", "signet", "yours", "your own signet; the node's wallet signs the blocks"),
    Mode("regtest", "regtest", "yours or a private one", "a local chain; blocks take milliseconds"),
    Mode(
        "demo",
        "mainnet",
        "none",
        "simulated full-size templates and real hashing; nothing is submitted",
        other_networks=_ALL,
        submits=False,
        simulated=True,
    ),
    Mode(
        "test",
        "regtest",
        "yours or a private one",
        "for validation: ends after --blocks, --hashes or --seconds, with exit code 1 if a block was not accepted",
        other_networks=("testnet3", "testnet4", "signet"),
        bounded=True,
    ),
    Mode(
        "staging",
        "mainnet",
        "yours",
        "as production, but found blocks are checked by the node in proposal mode and not submitted",
        other_networks=_ALL,
        submits=False,
        proposes_only=True,
    ),
    Mode(
        "pool",
        "mainnet",
        "none",
        "mines for a pool, which gives the work and pays by its own rules; found blocks are the pool's",
        other_networks=_ALL,
        submits=False,
        at_a_pool=True,
    ),
)
MODES = {mode.name: mode for mode in _TABLE}

SMOKE_TEST = Mode(
    "smoke-test",
    "regtest",
    "a private one, then yours",
    "end-to-end test; run by the command `solominer smoke-test`",
    bounded=True,
)
"""Not a mode of `run`, but listed with them."""


_HINTS = {
    **dict.fromkeys(("mainnet", "main", "live", "bitcoin", "real", "prod"), "production"),
    **dict.fromkeys(("testnet", "testnet3", "test3"), "testnet4"),
    "simulation": "demo",
}
"""Common other names, most of them of chains, and the modes they mean."""


def mode_named(name: str) -> Mode:
    """Look up a mode. Raises ConfigError with the nearest name, without quoting the input."""
    try:
        return MODES[name]
    except KeyError:
        near = [_HINTS[name]] if name in _HINTS else difflib.get_close_matches(name[:40], MODES, n=1)
        todo = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(MODES)}"
        raise ConfigError("unknown mode", todo) from None
