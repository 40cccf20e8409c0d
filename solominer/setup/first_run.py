"""Checks before a run: a limit if the mode requires one, and confirmation before the first real mining."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from solominer.chain.address import address_in
from solominer.config.models import Config
from solominer.config.modes import MODES
from solominer.config.paths import presence
from solominer.daemon.every_run import RunOptions
from solominer.daemon.nodes import configured_nodes
from solominer.engines.cluster.packages import need_packages
from solominer.errors import ConfigError
from solominer.records.tree import atomic_write, utc_text
from solominer.work.payout import percent

UNDERSTOOD_NAME = "understood.json"
UNDERSTAND = """\
This mines solo on Bitcoin mainnet with this machine.
  - It will almost certainly never find a block: a single CPU needs millions of years on average.
  - It uses electricity and keeps the processor busy.
  - If it finds a block, the whole reward is paid to {payees}.
    Make sure that you hold the key of your address and a backup of it.
"""


def check_start(config: Config, options: RunOptions, config_path: Path | None) -> None:
    """Raises ConfigError if the mode requires a configuration, a pool or a limit and there is none."""
    needs_node = not (config.mode_rules.simulated or config.mode_rules.at_a_pool or config.wants_private_node)
    if config_path is None and config.is_empty and needs_node:
        found = presence(Path("config.json")).there
        raise ConfigError(
            f"mode {config.mode!r} requires a node and a payout address, and no configuration was given",
            "use the one in this folder: solominer run --config config.json"
            if found
            else "run `solominer init` to find your node and write a config.json; without a node, try "
            "`solominer run --mode regtest` or `solominer run --mode demo`",
        )
    if config.mode_rules.at_a_pool and not config.pools:
        raise ConfigError("mode 'pool' requires a pool", "pass --pool stratum+tcp://USER@HOST:PORT, or set `pools`")
    if config.mode_rules.at_a_pool:
        _check_who_mines(config)
    if config.cluster.servers:
        need_packages()
    bounds = (options.blocks, options.hashes, options.secs)
    if MODES[config.mode].bounded and all(bound is None for bound in bounds):
        raise ConfigError(f"mode {config.mode!r} requires a limit", "pass --blocks, --hashes or --seconds")


def _check_who_mines(config: Config) -> None:
    """At a pool: this machine or the miners at its listeners, which have the pool's extranonce for themselves."""
    if config.cpu_workers == 0 and not (config.gpu.is_on or config.stratum):
        raise ConfigError(
            "cpu_workers is 0 and gpu.devices and stratum are not set: nothing would mine for the pool",
            "remove it, or set it to 1 or more",
        )
    if config.is_proxy and (config.cpu_workers or config.gpu.is_on):
        raise ConfigError(
            "a proxy does not mine itself: the pool's extranonce is divided among the miners at `stratum`",
            "remove cpu_workers and gpu.devices, or remove stratum",
        )
    for listener in config.stratum:
        if listener.payout != "config":
            raise ConfigError(
                f"stratum: {listener.listen} has payout {listener.payout!r}, but in mode pool the pool pays",
                "remove payout",
            )
        if listener.v2 == "only":
            raise ConfigError(f"stratum: {listener.listen}: a proxy's miners speak Stratum V1", "remove v2")


def check_nodes(config: Config) -> None:
    """Raises ConfigError for an invalid payout address or node settings."""
    if config.mode_rules.simulated or config.mode_rules.at_a_pool:
        return
    if config.payout_address:
        address_in(config.payout_address)
    if not config.wants_private_node:
        configured_nodes(config)


def make_sure(config: Config, *, yes: bool, ask: Callable[[str], bool] | None) -> None:
    """Ask once for confirmation, and again if the payees change.

    `ask` shows a text and returns the answer; None if not interactive. Raises ConfigError without confirmation.
    """
    if not MODES[config.mode].asks:
        return
    path = config.records_dir / UNDERSTOOD_NAME
    split = [[part.address, part.basis_points] for part in config.payout_split]
    try:
        content = json.loads(path.read_text())
        if (content.get("payout_address"), content.get("payout_split", [])) == (config.payout_address, split):
            return
    except (OSError, ValueError, AttributeError):
        pass  # not asked yet
    if not yes:
        text = UNDERSTAND.format(payees=_payees_text(config))
        if ask is None or not ask(text):
            raise ConfigError(
                f"mode {config.mode!r} mines on mainnet and needs your confirmation first",
                "run it once on a terminal and confirm, or pass --yes",
            )
    content = {"understood": utc_text(time.time()), "payout_address": config.payout_address, "payout_split": split}
    try:
        config.records_dir.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(content).encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "check data_dir") from error


def _payees_text(config: Config) -> str:
    if not config.payout_split:
        return config.payout_address or "(no payout_address is set)"
    return ",\n    ".join(f"{address} ({percent(points)})" for address, points in config.payees)
