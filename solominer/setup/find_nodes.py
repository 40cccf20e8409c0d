"""Find nodes on this machine: running processes, and data directories of Bitcoin Core and Knots."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import SecretStr, ValidationError

from solominer.chain.networks import NETWORKS
from solominer.config.models import RpcConfig
from solominer.config.paths import Presence, absolute, expanded, home, home_of, presence
from solominer.node.credentials import default_data_folders
from solominer.setup.bitcoin_conf import (
    NodeConf,
    is_bitcoind,
    number_in,
    parse_command_line,
    read_node_conf,
    with_saved,
)

_LOOPBACK = ("127.0.0.1", "::1")
_EVERY_ADDRESS = {"0.0.0.0": _LOOPBACK[:1], "::": _LOOPBACK[::-1], "": _LOOPBACK}


@dataclass(frozen=True, slots=True)
class NodeLogin:
    """An RPC login: username and password, or a cookie file."""

    username: str = ""
    password: SecretStr | None = field(default=None, repr=False)
    password_file: Path | None = None
    cookie_file: Path | None = None


@dataclass(frozen=True, slots=True)
class NodeCandidate:
    """A possible node: its data directory, network and settings."""

    datadir: Path
    network: str
    conf: NodeConf = field(repr=False)
    running: bool = False

    @property
    def chain_dir(self) -> Path:
        """The network's subdirectory of the data directory."""
        return self.datadir / NETWORKS[self.network].folder

    @property
    def port(self) -> int:
        """Its RPC port, unless rpcbind has one."""
        port = number_in(self.conf.get("rpcport", self.network) or "")
        return port if 0 < port < 1 << 16 else NETWORKS[self.network].rpc_port

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each RPC address, loopback first (GetBindAddresses in httpserver.cpp)."""
        bound = self.conf.values("rpcbind", self.network)
        if not bound or not self.conf.values("rpcallowip", self.network):
            return [(host, self.port) for host in _LOOPBACK]
        found = []
        for text in bound:
            host, port = split_host_port(text, self.port)
            found += [(each, port) for each in _EVERY_ADDRESS.get(host, (host,)) if port]
        return sorted(dict.fromkeys(found), key=lambda each: each[0] not in _LOOPBACK)

    @property
    def cookie_file(self) -> Path | None:
        """Path of its cookie, or None if cookies are disabled."""
        name = self.conf.path("rpccookiefile", self.network, ".cookie")
        return self.chain_dir / name if name else None

    @property
    def logins(self) -> list[NodeLogin]:
        """Logins from its settings, and its cookie, even if the cookie is not readable."""
        found = []
        if password := self.conf.get("rpcpassword", self.network):
            found.append(NodeLogin(self.conf.get("rpcuser", self.network) or "", SecretStr(password)))
        if self.cookie_file is not None:
            seen = presence(self.cookie_file)
            if seen.there or (seen.problem and not found):
                found.append(NodeLogin(cookie_file=self.cookie_file))
        return found

    @property
    def users(self) -> list[str]:
        """Usernames of its rpcauth lines, which contain no passwords."""
        lines = self.conf.values("rpcauth", self.network)
        return list(dict.fromkeys(line.partition(":")[0] for line in lines if ":" in line))

    def rpc(self, host: str, port: int, login: NodeLogin) -> RpcConfig | None:
        """The RPC connection with this address and login; None if it is not valid in a config.json."""
        values = {"name": f"{self.network}:{port}", "host": host, "port": port, "username": login.username}
        values |= {key: value for key in _LOGIN_KEYS if (value := getattr(login, key)) is not None}
        try:
            return RpcConfig.model_validate(values)
        except (ValidationError, UnicodeError):
            return None


_LOGIN_KEYS = ("password", "password_file", "cookie_file")


def split_host_port(text: str, port: int) -> tuple[str, int]:
    """Split host and port as the node does: `h`, `h:1`, `::1`, `[::1]`, `[::1]:1`; port 0 if invalid."""
    head, colon, tail = text.rpartition(":")
    if colon and (not head or (head[0] == "[" and head[-1] == "]") or ":" not in head):
        text, port = head, int(tail) if tail.isascii() and tail.isdigit() and int(tail[:6]) < 1 << 16 else 0
    return (text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text), port


def find_nodes(folders: Sequence[Path] = ()) -> tuple[list[NodeCandidate], list[str]]:
    """Nodes on this machine, running ones first, and problems. `folders` limits the search to these datadirs."""
    problems: list[str] = []
    wanted = [_real(absolute(expanded(folder, "--datadir"))) for folder in folders]
    found: dict[tuple[Path, str], NodeCandidate] = {}
    in_folders = list(_nodes_in(wanted or likely_folders(), problems))
    accepted = {*wanted, *(each.datadir for each in in_folders)}  # a bitcoin.conf may set another datadir
    for candidate in (*_running_nodes(problems), *in_folders):
        if not wanted or candidate.datadir in accepted:
            found.setdefault((candidate.datadir, candidate.network), candidate)
    for candidate in found.values():
        problems += candidate.conf.problems
    return list(found.values()), list(dict.fromkeys(problems))


def likely_folders() -> list[Path]:
    """Existing default data directories of Bitcoin Core and Knots on this platform."""
    folders = [*default_data_folders(), Path("/var/lib/bitcoin"), Path("/srv/bitcoin")]
    if (own := home()) is not None:
        folders.append(own / "snap/bitcoin-core/common/.bitcoin")
    if sys.platform == "win32":
        folders += [
            Path(base) / "Bitcoin" for base in (os.environ.get("LOCALAPPDATA"), os.environ.get("APPDATA")) if base
        ]
    return list(dict.fromkeys(_real(folder) for folder in folders if presence(folder) != Presence(there=False)))


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a zero byte in the path, from a bitcoin.conf
        return path


def _running_nodes(problems: list[str]) -> Iterator[NodeCandidate]:
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
            start = is_bitcoind(arguments)
            if start is not None:
                yield _running_node(process, arguments[start:], problems)
        except (psutil.Error, OSError):  # it has exited, or its arguments are not accessible
            continue


def _running_node(process: psutil.Process, arguments: Sequence[str], problems: list[str]) -> NodeCandidate:
    cwd = Path("/")
    try:
        cwd = Path(process.cwd())
    except (psutil.AccessDenied, OSError):  # of another user
        if any(not Path(name).is_absolute() for name in map(str, parse_command_line(arguments).get("datadir", ()))):
            problems.append(
                f"the node with process id {process.pid} has a relative datadir and belongs to another user: "
                "pass its data directory with --datadir"
            )
    conf, datadir = read_node_conf(parse_command_line(arguments), _default_datadir(process), cwd)
    network = conf.network or "mainnet"
    return _candidate(_real(datadir), network, conf, running=True)


def _default_datadir(process: psutil.Process) -> Path:
    """The default data directory of a process, from HOME in its environment, or its user's home directory."""
    folder = ""
    with suppress(psutil.Error, OSError):
        folder = process.environ().get("HOME", "")
    if not folder:
        with suppress(psutil.Error, OSError, KeyError, ImportError):
            folder = home_of(process.uids().real)
    return Path(folder or "/", "Library/Application Support/Bitcoin" if sys.platform == "darwin" else ".bitcoin")


def _nodes_in(folders: Sequence[Path], problems: list[str]) -> Iterator[NodeCandidate]:
    """Networks of which a data directory has a cookie, or that its bitcoin.conf selects."""
    for folder in folders:
        conf, datadir = read_node_conf({}, folder, folder)
        problems += conf.problems
        for network in NETWORKS:
            candidate = _candidate(_real(datadir), network, conf)
            seen = presence(candidate.cookie_file or candidate.chain_dir / ".cookie")
            if seen.there or (conf.sections and network == (conf.network or "mainnet")):
                yield candidate
            elif seen.problem:
                problems.append(
                    f"cannot look for a cookie in {datadir}: {seen.problem}; if this is your node, grant access "
                    "(rpccookieperms=group in bitcoin.conf and chmod g+x), or pass --username and --password-file"
                )


def _candidate(datadir: Path, network: str, conf: NodeConf, *, running: bool = False) -> NodeCandidate:
    return NodeCandidate(datadir, network, with_saved(conf, datadir / NETWORKS[network].folder), running)
