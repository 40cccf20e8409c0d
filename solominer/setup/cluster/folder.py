"""The folder of a cluster, which `solominer cluster` writes and the daemon and the servers read.

| file | what it is | who needs it |
| --- | --- | --- |
| cluster.json | servers, payout, nodes and the users in their certificates | daemon |
| ca.pem, ca.key | signs servers | daemon; the key stays here |
| clients-ca.pem, clients-ca.key | signs the head and the nodes | servers; the key stays here |
| server.pem, server.key, nats.conf | | servers |
| head.pem, head.key | | daemon |
| nodes/NODE.join | certificate and key of a node | that node |

Keys are never replaced. A file is written whole or not at all; a command that was interrupted is given again.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from solominer.config.cluster import DEFAULT_PORT
from solominer.config.file_lock import take_lock
from solominer.config.paths import absolute, presence, reason
from solominer.engines.cluster.join_file import CLUSTER_FILE, CLUSTER_FORM, JoinFile, read_pem
from solominer.engines.cluster.json_file import read_json, write_private
from solominer.engines.cluster.subjects import check_node
from solominer.errors import ConfigError
from solominer.setup.cluster.authority import (
    CLIENT_USES,
    SERVER_USES,
    Authority,
    alternative_names,
    days_left,
    new_key,
)
from solominer.setup.cluster.nats_conf import nats_conf

RENEW_DAYS = 60.0
"""Certificates of the servers and the head are renewed by `init` when fewer days are left."""
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Cluster:
    """What cluster.json holds. `nodes` gives the user in the certificate of each node, by name.

    `server_files` and `server_store` are folders on the servers.
    """

    network: str
    servers: tuple[str, ...]
    payout_scripts: tuple[bytes, ...]
    server_files: str
    server_store: str
    head: str = field(default_factory=lambda: f"{secrets.token_hex(4)}.head.solominer")
    nodes: dict[str, str] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        """Of its servers."""
        return [urlsplit(url).hostname or "" for url in self.servers]


class ClusterFolder:
    """The folder `path`. Errors are ConfigError with what to do."""

    def __init__(self, path: Path) -> None:
        self.path = absolute(path)  # it is written into nats.conf

    @property
    def again(self) -> str:
        """The command that makes it."""
        return f"solominer cluster init --dir {self.path}"

    @property
    def is_there(self) -> bool:
        """Whether `init` was run."""
        return presence(self.path / CLUSTER_FILE).there

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time; an OSError is told."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.path / "nodes").mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                take_lock(handle, self.path / ".lock")
                yield
            finally:
                os.close(handle)
        except OSError as error:
            raise ConfigError(
                f"the cluster's folder {self.path} cannot be written: {reason(error)}", "correct this, or pass --dir"
            ) from error

    def read(self) -> Cluster:
        """The cluster as it is. Raises ConfigError if there is none."""
        values: dict[str, Any] = dict(read_json(self.path / CLUSTER_FILE, CLUSTER_FORM, self.again))
        del values["format"]
        try:
            values["payout_scripts"] = tuple(map(bytes.fromhex, values["payout_scripts"]))
            values["servers"] = tuple(map(str, values["servers"]))
            found = Cluster(**values)
            for node in found.nodes:
                check_node(node)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ConfigError(f"{self.path / CLUSTER_FILE} is damaged", "restore it from a backup") from None
        return found

    def init(self, wanted: Cluster) -> Cluster:
        """Make what is missing, renew what soon expires, and take over the servers and the payout of `wanted`."""
        with self._locked():
            cluster = wanted
            if self.is_there:
                old = self.read()
                if old.network != wanted.network:
                    raise ConfigError(
                        f"the cluster in {self.path} is for {old.network}, not for {wanted.network}",
                        "pass another --dir: each network has a cluster of its own",
                    )
                cluster = replace(wanted, head=old.head, nodes=old.nodes)
            servers, clients = self._authority("ca", "servers"), self._authority("clients-ca", "clients")
            self._certificate(servers, "server", (*cluster.hosts, *_LOCAL), SERVER_USES)
            self._certificate(clients, "head", (cluster.head,), CLIENT_USES)
            store = Path(cluster.server_store)
            if store.is_relative_to(self.path):
                store.mkdir(mode=0o700, exist_ok=True)
            self._write(cluster)
            for node in cluster.nodes:
                self._update(cluster, node)
            return cluster

    def add(self, *nodes: str, renew: bool = False) -> list[Path]:
        """Write the join files of new nodes; with `renew` new ones of known nodes, whose old certificates end."""
        for node in nodes:
            check_node(node)
        with self._locked():
            cluster = self.read()
            for node in nodes:
                if node in cluster.nodes and not renew:
                    raise ConfigError(
                        f"{node} is a node already", "pass --renew for a new certificate; the old one is then refused"
                    )
                if renew and node not in cluster.nodes:
                    raise self._unknown(node, cluster)
            authority = self._authority("clients-ca", "clients")
            users = {node: f"{node}.{secrets.token_hex(4)}.node.solominer" for node in nodes}
            for node, user in users.items():
                key = new_key()
                certificate = authority.certificate(node, key, (user,), CLIENT_USES)
                self._join_file(cluster, node, certificate, key).write(self.join_path(node))
            self._write(replace(cluster, nodes=cluster.nodes | users))
            return [self.join_path(node) for node in users]

    def remove(self, node: str) -> None:
        """Refuse a node from now on, whoever has its join file."""
        with self._locked():
            cluster = self.read()
            if node not in cluster.nodes:
                raise self._unknown(node, cluster)
            self._write(replace(cluster, nodes={name: user for name, user in cluster.nodes.items() if name != node}))
            self.join_path(node).unlink(missing_ok=True)

    def join_path(self, node: str) -> Path:
        """Where the join file of a node is written."""
        return self.path / "nodes" / f"{node}.join"

    def _unknown(self, node: str, cluster: Cluster) -> ConfigError:
        known = ", ".join(sorted(cluster.nodes)[:20]) or "none yet"
        return ConfigError(f"there is no node {node!r:.80}; known: {known}", "see `solominer cluster status`")

    def _write(self, cluster: Cluster) -> None:
        values = {"format": CLUSTER_FORM} | asdict(cluster)
        values["payout_scripts"] = [script.hex() for script in cluster.payout_scripts]
        write_private(self.path / CLUSTER_FILE, json.dumps(values, indent=1) + "\n")
        port = urlsplit(cluster.servers[0]).port or DEFAULT_PORT
        files, store = PurePath(cluster.server_files), PurePath(cluster.server_store)
        text = nats_conf(cluster.hosts, port, files, store, cluster.head, cluster.nodes)
        write_private(self.path / "nats.conf", text)

    def _authority(self, name: str, signs: str) -> Authority:
        certificate, key = self.path / f"{name}.pem", self.path / f"{name}.key"
        if not presence(certificate).there and not self.is_there:
            made = Authority.new(f"solominer {signs}")
            write_private(key, made.key_pem)
            write_private(certificate, made.certificate_pem)
        backup = "restore it from a backup; without it no certificate can be made"
        return Authority(read_pem(certificate, backup), read_pem(key, backup))

    def _certificate(self, authority: Authority, name: str, alternative: Sequence[str], uses: Sequence[Any]) -> None:
        """The certificate of the key in NAME.key, made or renewed if it has to be."""
        certificate, key = self.path / f"{name}.pem", self.path / f"{name}.key"
        if not presence(key).there:
            write_private(key, new_key())
        try:
            pem = certificate.read_text()
            if alternative_names(pem) == set(alternative) and days_left(pem) > RENEW_DAYS:
                return
        except (OSError, ValueError):
            pass  # missing or damaged: it is made again
        key_pem = read_pem(key, "restore it from a backup")
        write_private(certificate, authority.certificate(name, key_pem, alternative, uses))

    def _join_file(self, cluster: Cluster, node: str, certificate: str, key: str) -> JoinFile:
        trusted = read_pem(self.path / "ca.pem", self.again)
        return JoinFile(node, cluster.servers, trusted, certificate, key, cluster.network, cluster.payout_scripts)

    def _update(self, cluster: Cluster, node: str) -> None:
        """Servers and payout of a join file that is still here."""
        try:
            old = JoinFile.read(self.join_path(node))
        except ConfigError:
            return  # it was moved to its machine, or has expired
        new = self._join_file(cluster, node, old.certificate_pem, old.key_pem)
        if new != old:
            new.write(self.join_path(node))
