"""The output scripts that a cluster's blocks may pay, for its join files."""

from __future__ import annotations

from solominer.config.models import Config
from solominer.daemon.nodes import configured_nodes, from_first
from solominer.errors import ConfigError
from solominer.node.demo import DEMO_PAYOUT_SCRIPT
from solominer.node.payout import payout_to


def payout_scripts_of(config: Config) -> tuple[bytes, ...]:
    """The scripts of all payees, decoded by the first node that answers; () with a private node, which pays its wallet.

    Raises ConfigError, PayoutError or NodeError.
    """
    if config.mode_rules.simulated:
        return (DEMO_PAYOUT_SCRIPT,)
    addresses = [address for address, _ in config.payees]
    if not all(addresses):
        if config.chain.name == "regtest":
            return ()
        raise ConfigError(
            "payout_address is not set, and nodes must know whom their blocks may pay",
            "pass --config with the config.json of the daemon, or --payout-script",
        )
    return from_first(
        configured_nodes(config),
        lambda client: tuple(payout_to(client, address, config.chain).script_pubkey for address in addresses),
    )
