"""Nodes on this machine: running processes, data folders of Bitcoin Core and Knots, their bitcoin.conf and cookies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import SecretStr

from solominer.chain.networks import NETWORKS
from solominer.config import RpcConfig
from solominer.node.credentials import NETWORK_FOLDERS, default_data_folders
from solominer.operate.bitcoinconf import BitcoinConf, is_bitcoind, parse_command_line, read_conf


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may be there: `datadir` and `network` tell which; `conf` is what it was told."""

    datadir: Path
    network: str
    conf: BitcoinConf = field(repr=False)
    running: bool = False

    @property
    def chain_dir(self) -> Path:
        """The network's own folder."""
        return self.datadir / NETWORK_FOLDERS[self.network]

    @property
    def port(self) -> int:
        """Its RPC port."""
        told = self.conf.get("rpcport", self.network)
        return int(told) if told and told.isdigit() else NETWORKS[self.network].rpc_port

    @property
    def host(self) -> str:
        """Where its RPC listens, as far as it says so: the first rpcbind that is an address of its own."""
        for bound in self.conf.values("rpcbind", self.network):
            host = bound.rpartition(":")[0] if bound.count(":") == 1 else bound
            if host not in ("", "0.0.0.0", "::", "[::]", "127.0.0.1"):
                return host.strip("[]")
        return "127.0.0.1"

    @property
    def cookie_file(self) -> Path:
        """Where its cookie is, if it writes one."""
        return self.chain_dir / (self.conf.get("rpccookiefile", self.network) or ".cookie")

    def rpc(self) -> RpcConfig | None:
        """How to get in: the cookie where there is one, else the user and password of bitcoin.conf; None: neither."""
        name, where = f"{self.network}:{self.port}", {"host": self.host, "port": self.port}
        if self.cookie_file.exists():
            return RpcConfig(name=name, cookie_file=self.cookie_file, **where)
        user, password = (self.conf.get(key, self.network) for key in ("rpcuser", "rpcpassword"))
        if password:
            return RpcConfig(name=name, username=user or "", password=SecretStr(password), **where)
        return None


def find_nodes(folders: Sequence[Path] = ()) -> list[Candidate]:
    """What is on this machine; with `folders` only nodes that have their data there. Running ones come first."""
    wanted = [folder.expanduser().resolve() for folder in folders]
    found: dict[tuple[Path, str], Candidate] = {}
    in_folders = list(_nodes_in(wanted or likely_folders()))
    accepted = {*wanted, *(each.datadir for each in in_folders)}  # a bitcoin.conf may lead elsewhere
    for candidate in (*_running_nodes(), *in_folders):
        if not wanted or candidate.datadir in accepted:
            found.setdefault((candidate.datadir, candidate.network), candidate)
    return list(found.values())


def likely_folders() -> list[Path]:
    """Data folders that Bitcoin Core and Knots use on this platform, those that exist."""
    home = Path.home()
    folders = [
        *default_data_folders(),
        home / "snap/bitcoin-core/common/.bitcoin",
        Path("/var/lib/bitcoin"),
        Path("/srv/bitcoin"),
    ]
    if sys.platform == "win32":
        folders += [
            Path(base) / "Bitcoin" for base in (os.environ.get("LOCALAPPDATA"), os.environ.get("APPDATA")) if base
        ]
    return list(dict.fromkeys(folder.resolve() for folder in folders if _is_folder(folder)))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # not ours to look into
        return False


def _running_nodes() -> Iterator[Candidate]:
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
            start = is_bitcoind(arguments)
            if start is not None:
                yield _candidate_of(parse_command_line(arguments[start:]), Path(process.cwd()), process.username())
        except (psutil.Error, OSError):  # it has ended, or belongs to somebody else
            continue


def _candidate_of(told: BitcoinConf, cwd: Path, username: str) -> Candidate:
    """A running node, from its arguments."""
    folder = told.get("datadir", "mainnet")
    datadir = (cwd / folder).resolve() if folder else default_data_folders()[0].resolve()
    conf_name = told.get("conf", "mainnet") or "bitcoin.conf"
    conf = told.over(read_conf(datadir / conf_name, datadir))
    datadir = _moved(conf, datadir)
    return Candidate(datadir, conf.network or "mainnet", conf, running=True)


def _nodes_in(folders: Sequence[Path]) -> Iterator[Candidate]:
    """Networks of which a data folder shows a trace: a cookie, or the network that its bitcoin.conf selects."""
    for folder in folders:
        conf = read_conf(folder / "bitcoin.conf", folder)
        datadir = _moved(conf, folder)
        for network in NETWORKS:
            candidate = Candidate(datadir, network, conf)
            if candidate.cookie_file.exists() or (conf.settings and network == (conf.network or "mainnet")):
                yield candidate


def _moved(conf: BitcoinConf, folder: Path) -> Path:
    """bitcoin.conf may name another data folder."""
    moved = conf.get("datadir", "mainnet")
    return Path(moved).expanduser().resolve() if moved else folder
