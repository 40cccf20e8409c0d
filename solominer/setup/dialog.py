"""The dialog of `solominer init`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from solominer.config.forms import bracketed, host_and_port
from solominer.config.models import RpcConfig
from solominer.config.paths import absolute
from solominer.errors import ConfigError, NodeAuthFailed, PayoutError
from solominer.setup.find_nodes import NodeCandidate, NodeLogin, find_nodes
from solominer.setup.init import (
    Probed,
    check_payout,
    config_values,
    missing_lines,
    network_of,
    probe,
    probe_rpc,
    refuse_existing,
    write_config,
)

Ask = Callable[[str, str], str]
"""Takes a question and its default; returns the answer."""
AskSecret = Callable[[str], str]
"""Takes a question; returns the answer, which is not echoed, or ''."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Options of the command line. `rpc` is HOST:PORT of a node."""

    datadirs: Sequence[Path] = ()
    rpc: str | None = None
    username: str = ""
    password_file: Path | None = None
    cookie_file: Path | None = None
    network: str | None = None
    payout_address: str | None = None
    data_dir: Path | None = None
    force: bool = False


def set_up(
    path: Path, answers: Answers, *, ask: Ask | None, ask_secret: AskSecret | None = None, say: Callable[[str], object]
) -> None:
    """Find and probe nodes, ask for what is missing, and write config.json.

    `ask` and `ask_secret` are None if not interactive. Raises ConfigError, PayoutError or NodeError.
    """
    try:
        if not answers.force:
            refuse_existing(path)
    except ConfigError:
        if ask is None or ask(f"{path} already exists; replace it? (yes/no)", "no") != "yes":
            raise
    nodes = _chosen(_tried(answers, ask_secret, say), answers, ask)
    address = _payout(nodes[0], answers, ask, say)
    values = config_values(nodes, address, answers.data_dir)
    config = write_config(path, values)
    say(f"wrote {path} (permissions 600): mode {config.mode}, {len(nodes)} node{'s' * (len(nodes) > 1)}")
    for node in nodes:
        lines = missing_lines(node)
        if lines:
            say(f"\nadd these lines to bitcoin.conf of {node.rpc.name or node.origin} and restart the node:")
            for each in lines:
                say(f"  {each.line}\n      {each.reason}")
    say(f"\nnext:  solominer doctor --config {path}\n       solominer run --config {path}")


def _tried(answers: Answers, ask_secret: AskSecret | None, say: Callable[[str], object]) -> list[Probed]:
    """The nodes that work; all are printed, with the reason if one does not."""
    if answers.password_file is not None and not answers.username:
        raise ConfigError("--password-file requires --username", "pass both")
    if answers.rpc is not None:
        rpc = _by_hand(answers, ask_secret)
        tried = [probe_rpc(rpc, answers.network or network_of(rpc), "--rpc")]
    else:
        candidates, problems = find_nodes(answers.datadirs)
        for problem in problems:
            say(f"note: {problem}")
        tried = [_probed(candidate, answers, ask_secret) for candidate in candidates]
    for node in tried:
        where = f"{bracketed(node.rpc.host)}:{node.rpc.port}"
        state = node.problem or f"works: {node.name} at height {node.height}"
        say(f"{node.network:9} {where:22} {node.origin}: {state}")
    working = [node for node in tried if not node.problem]
    if not working:
        raise ConfigError(
            "found no usable node" if tried else "found no node on this machine",
            "start Bitcoin Core with server=1; or pass --datadir, or --rpc HOST:PORT with --cookie-file or with "
            "--username and --password-file",
        )
    return working


def _probed(candidate: NodeCandidate, answers: Answers, ask_secret: AskSecret | None) -> Probed:
    """Probe a node with its own and the given logins; if all are refused, ask for a password."""
    given = []
    if answers.password_file is not None:
        given.append(NodeLogin(answers.username, password_file=absolute(answers.password_file)))
    if answers.cookie_file is not None:
        given.append(NodeLogin(cookie_file=absolute(answers.cookie_file)))
    found = probe(candidate, given)
    for user in [answers.username] if answers.username else candidate.users:
        if found.error is not NodeAuthFailed or ask_secret is None:
            break
        where = f"{bracketed(found.rpc.host)}:{found.rpc.port}"
        if password := ask_secret(f"password of RPC user {user!r} of the node at {where} (empty: skip)"):
            found = probe(candidate, [NodeLogin(user, SecretStr(password))])
    return found


def _by_hand(answers: Answers, ask_secret: AskSecret | None) -> RpcConfig:
    try:
        host, port = host_and_port(answers.rpc or "")
    except ValueError as error:
        raise ConfigError(f"--rpc is not HOST:PORT: {error}", "e.g. --rpc 127.0.0.1:8332 or --rpc [::1]:8332") from None
    if port is None:
        raise ConfigError("--rpc is not HOST:PORT: the port is missing", "e.g. --rpc 127.0.0.1:8332")
    password = ""
    if answers.username and answers.cookie_file is None and answers.password_file is None and ask_secret is not None:
        password = ask_secret(f"password of RPC user {answers.username!r}")
    if [answers.cookie_file is None, answers.password_file is None, not password].count(False) != 1:
        raise ConfigError("--rpc requires one login", "pass --cookie-file, or --username and --password-file")
    values: dict[str, Any] = {"name": f"{bracketed(host)}:{port}", "host": host, "port": port}
    if answers.cookie_file is not None:
        values["cookie_file"] = absolute(answers.cookie_file)
    elif answers.password_file is not None:
        values |= {"username": answers.username, "password_file": absolute(answers.password_file)}
    else:
        values |= {"username": answers.username, "password": SecretStr(password)}
    try:
        return RpcConfig.model_validate(values)
    except ValidationError as error:
        why = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"invalid node: {why}", "correct --rpc or --username") from None


def _chosen(nodes: list[Probed], answers: Answers, ask: Ask | None) -> list[Probed]:
    """All nodes of one network."""
    networks = list(dict.fromkeys(node.network for node in nodes))
    wanted = answers.network
    if wanted is None and len(networks) > 1 and ask is not None:
        wanted = ask(f"which network? ({', '.join(networks)})", networks[0])
    if wanted is None and len(networks) > 1:
        raise ConfigError(f"found nodes on several networks: {', '.join(networks)}", "select one with --network")
    chosen = [node for node in nodes if node.network == (wanted or networks[0])]
    if not chosen:
        raise ConfigError(f"found no node on {wanted}, only on {', '.join(networks)}", "select one with --network")
    return chosen


def _payout(node: Probed, answers: Answers, ask: Ask | None, say: Callable[[str], object]) -> str:
    """The payout address, validated by the node; on regtest '' for an address of the node's wallet."""
    address = answers.payout_address
    while True:
        if address is None and ask is not None:
            hint = " (empty: the node's wallet)" if node.network == "regtest" else ""
            address = ask(f"your payout address on {node.network}{hint}", "")
        if not address:
            if node.network == "regtest":
                return ""
            raise ConfigError(
                "a payout address is required", f"pass --payout-address with an address of your {node.network} wallet"
            )
        try:
            check_payout(node, address)
            return address
        except PayoutError as error:
            if ask is None or answers.payout_address is not None:
                raise
            say(str(error))
            address = None
