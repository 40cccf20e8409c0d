"""What must be settled before a run begins: an end where the mode wants one, and once a yes where money is at stake."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from solominer.chain.address import address_in
from solominer.config.models import Config
from solominer.config.modes import MODES
from solominer.config.paths import presence
from solominer.daemon.daemon import RunOptions
from solominer.daemon.nodes import configured_nodes
from solominer.errors import ConfigError
from solominer.records.tree import atomic_write, utc_text
from solominer.work.payout import percent

UNDERSTOOD_NAME = "understood.json"
UNDERSTAND = """\
This mines on Bitcoin's main network, alone and with this machine.
  - Chances are overwhelming that it never finds a block: a single CPU would take far longer than you will live.
  - It uses electricity all the while, and keeps the processor busy.
  - If it does find one, the whole reward goes to {payees}
    and to nobody else. Make sure that you hold the key of your address, and a copy of it.
"""


def check_start(config: Config, options: RunOptions, config_path: Path | None) -> None:
    """Raises ConfigError where no configuration is given though the mode needs one, or no end though it wants one."""
    if config_path is None and config.is_empty and not config.mode_rules.simulated and not config.wants_private_node:
        found = presence(Path("config.json")).there
        raise ConfigError(
            f"mode {config.mode!r} needs your node and your payout address, and no configuration is given",
            "this folder has one: solominer run --config config.json"
            if found
            else "`solominer init` finds your node and writes a config.json; without a node of your own, try "
            "`solominer run --mode regtest` or `solominer run --mode demo`",
        )
    bounds = (options.blocks, options.hashes, options.secs)
    if MODES[config.mode].bounded and all(bound is None for bound in bounds):
        raise ConfigError(f"mode {config.mode!r} needs a limit", "give --blocks, --hashes or --seconds")


def check_nodes(config: Config) -> None:
    """Raises ConfigError for nodes and a payout address with which mining can never begin."""
    if config.mode_rules.simulated:
        return
    if config.payout_address:
        address_in(config.payout_address)
    if not config.wants_private_node:
        configured_nodes(config)


def make_sure(config: Config, *, yes: bool, ask: Callable[[str], bool] | None) -> None:
    """Have a person say once that they understand; asked again only for other payees.

    `ask` puts a text and gives the answer; None where nobody can be asked. Raises ConfigError without a yes.
    """
    if not MODES[config.mode].asks:
        return
    path = config.records_dir / UNDERSTOOD_NAME
    split = [[part.address, part.basis_points] for part in config.payout_split]
    try:
        told = json.loads(path.read_text())
        if (told.get("payout_address"), told.get("payout_split", [])) == (config.payout_address, split):
            return
    except (OSError, ValueError, AttributeError):
        pass  # not asked yet
    if not yes:
        text = UNDERSTAND.format(payees=_payees_text(config))
        if ask is None or not ask(text):
            raise ConfigError(
                f"mode {config.mode!r} mines for real money and needs your confirmation first",
                "run it once on a terminal and confirm, or give --yes",
            )
    told = {"understood": utc_text(time.time()), "payout_address": config.payout_address, "payout_split": split}
    try:
        config.records_dir.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(told).encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "check data_dir") from error


def _payees_text(config: Config) -> str:
    if not config.payout_split:
        return config.payout_address or "(no payout_address is set)"
    return ",\n    ".join(f"{address} ({percent(points)})" for address, points in config.payees)
