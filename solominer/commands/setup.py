"""The conversation of `solominer init`: what is asked, of whom, and what is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from solominer.config import RpcConfig
from solominer.errors import ConfigError, PayoutError
from solominer.node.proxy import bracketed
from solominer.operate.findnodes import find_nodes
from solominer.operate.init import (
    Probed,
    check_payout,
    config_values,
    missing_lines,
    network_of,
    probe,
    probe_rpc,
    write_config,
)

Ask = Callable[[str, str], str]
"""A question and its default; gives the answer."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said on the command line. `rpc` is HOST:PORT of a node named by hand."""

    datadirs: Sequence[Path] = ()
    rpc: str | None = None
    username: str = ""
    password_file: Path | None = None
    cookie_file: Path | None = None
    network: str | None = None
    payout_address: str | None = None
    data_dir: Path | None = None
    force: bool = False


def set_up(path: Path, answers: Answers, *, ask: Ask | None, say: Callable[[str], object]) -> None:
    """Find nodes, try them, settle what is open, write the file. `ask` is None where nobody can be asked.

    Raises ConfigError, PayoutError or NodeError where it cannot be settled.
    """
    keep = path.exists() and not answers.force
    if keep and (ask is None or ask(f"{path} is there already; replace it? (yes/no)", "no") != "yes"):
        raise ConfigError(f"{path} is there already", "choose another with --config, or replace it with --force")
    nodes = _chosen(_tried(answers, say), answers, ask)
    address = _payout(nodes[0], answers, ask, say)
    values = config_values(nodes, address, answers.data_dir)
    config = write_config(path, values, replace=True)
    say(f"wrote {path}, readable by you alone: mode {config.mode}, {len(nodes)} node{'s' * (len(nodes) > 1)}")
    for node in nodes:
        lines = missing_lines(node)
        if lines:
            say(f"\nlines that bitcoin.conf of {node.rpc.name or node.origin} lacks; add them and restart the node:")
            for each in lines:
                say(f"  {each.line}\n      {each.reason}")
    say(f"\nnext:  solominer doctor --config {path}\n       solominer run --config {path}")


def _tried(answers: Answers, say: Callable[[str], object]) -> list[Probed]:
    """The nodes that work; the others are told of with the reason."""
    if answers.rpc is not None:
        rpc = _by_hand(answers)
        tried = [probe_rpc(rpc, answers.network or network_of(rpc), "named by hand")]
    else:
        candidates = find_nodes(answers.datadirs)
        for problem in dict.fromkeys(problem for each in candidates for problem in each.conf.problems):
            say(f"note: {problem}")
        tried = [probe(candidate) for candidate in candidates]
    for node in tried:
        where = f"{bracketed(node.rpc.host)}:{node.rpc.port}"
        state = node.problem or f"works: {node.name} at height {node.height}"
        say(f"{node.network:9} {where:22} {node.origin}: {state}")
    working = [node for node in tried if not node.problem]
    if not working:
        raise ConfigError(
            "no node that works was found" if tried else "no node was found on this machine",
            "start Bitcoin Core with server=1; or say where it is with --datadir, or with --rpc HOST:PORT and "
            "--cookie-file, or --username and --password-file",
        )
    return working


def _by_hand(answers: Answers) -> RpcConfig:
    host, colon, port = (answers.rpc or "").rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"--rpc {answers.rpc!r} is not HOST:PORT", "e.g. --rpc 127.0.0.1:8332")
    if (answers.cookie_file is None) == (answers.password_file is None):
        raise ConfigError("--rpc needs a way in", "give --cookie-file, or --username and --password-file")
    if answers.password_file is not None and not answers.username:
        raise ConfigError("--password-file needs --username", "give both")
    return RpcConfig(
        name=answers.rpc or "",
        host=host.strip("[]"),
        port=int(port),
        username=answers.username,
        password_file=answers.password_file.absolute() if answers.password_file else None,
        cookie_file=answers.cookie_file.absolute() if answers.cookie_file else None,
    )


def _chosen(nodes: list[Probed], answers: Answers, ask: Ask | None) -> list[Probed]:
    """All nodes of one network."""
    networks = list(dict.fromkeys(node.network for node in nodes))
    wanted = answers.network
    if wanted is None and len(networks) > 1 and ask is not None:
        wanted = ask(f"which network? ({', '.join(networks)})", networks[0])
    if wanted is None and len(networks) > 1:
        raise ConfigError(f"nodes on several networks were found: {', '.join(networks)}", "choose with --network")
    chosen = [node for node in nodes if node.network == (wanted or networks[0])]
    if not chosen:
        raise ConfigError(f"no node on {wanted} was found, only on {', '.join(networks)}", "choose with --network")
    return chosen


def _payout(node: Probed, answers: Answers, ask: Ask | None, say: Callable[[str], object]) -> str:
    """The payout address, checked by the node; on regtest it may be left to the node's wallet."""
    address = answers.payout_address
    while True:
        if address is None and ask is not None:
            hint = " (empty: the node's wallet)" if node.network == "regtest" else ""
            address = ask(f"your payout address on {node.network}{hint}", "")
        if not address:
            if node.network == "regtest":
                return ""
            raise ConfigError(
                "a payout address is needed", f"give --payout-address: an address of your own {node.network} wallet"
            )
        try:
            check_payout(node, address)
            return address
        except PayoutError as error:
            if ask is None or answers.payout_address is not None:
                raise
            say(str(error))
            address = None
