"""The modes of `solominer run`, in one table: configuration, commands and documents all read it from here."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from solominer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Mode:
    """What one mode does.

    `network` is where it mines unless `other_networks` are allowed and one is configured. `node` says whose node it
    uses. `submits`: found blocks are sent to be part of the chain; `proposes_only`: they go to the node in proposal
    mode instead. `simulated`: there is no node, all but the hashing is made up. `asks`: the first run wants a yes.
    `bounded`: a run must say when it ends.
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

    def tree_name(self, network: str) -> str:
        """The folder of the records: what is simulated, bounded or never submitted is kept apart from the rest."""
        if self.simulated:
            return self.name
        return f"{self.name}-{network}" if self.bounded or not self.submits else network

    def allows(self, network: str) -> bool:
        """Whether this mode may run on that network."""
        return network == self.network or network in self.other_networks


_ALL = ("mainnet", "testnet3", "testnet4", "signet", "regtest")

_TABLE = (
    Mode("production", "mainnet", "yours", "mine for real money; the first run asks whether you understand", asks=True),
    Mode("testnet4", "testnet4", "yours", "the public test network, coins without value", other_networks=("testnet3",)),
    Mode("signet", "signet", "yours", "your own signet: blocks are signed with a key in the node's wallet"),
    Mode("regtest", "regtest", "yours or a private one", "a chain of your own, blocks within milliseconds"),
    Mode(
        "demo",
        "mainnet",
        "none",
        "a made-up full-size template, real hashing; nothing is submitted anywhere",
        other_networks=_ALL,
        submits=False,
        simulated=True,
    ),
    Mode(
        "test",
        "regtest",
        "yours or a private one",
        "for validation: ends after --blocks, --hashes or --seconds, and with 1 if a block was not accepted",
        other_networks=("testnet3", "testnet4", "signet"),
        bounded=True,
    ),
    Mode(
        "staging",
        "mainnet",
        "yours",
        "everything as in production, but a found block goes to the node in proposal mode and is not submitted",
        other_networks=_ALL,
        submits=False,
        proposes_only=True,
    ),
)
MODES = {mode.name: mode for mode in _TABLE}

SMOKE_TEST = Mode(
    "smoke-test",
    "regtest",
    "a private one, then yours",
    "the fire drill, a command of its own: `solominer smoke-test`",
    bounded=True,
)
"""Not a mode of `run`, but listed with them."""


_HINTS = {
    **dict.fromkeys(("mainnet", "main", "live", "bitcoin", "real", "prod"), "production"),
    **dict.fromkeys(("testnet", "testnet3", "test3"), "testnet4"),
    "simulation": "demo",
}
"""Names from elsewhere, of chains above all, and the mode that is meant."""


def mode_named(name: str) -> Mode:
    """The mode of that name. Raises ConfigError that names the nearest one; the name is not repeated."""
    try:
        return MODES[name]
    except KeyError:
        near = [_HINTS[name]] if name in _HINTS else difflib.get_close_matches(name[:40], MODES, n=1)
        todo = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(MODES)}"
        raise ConfigError("there is no mode of that name", todo) from None
