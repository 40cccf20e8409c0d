"""What a machine needs to belong to a cluster: a node's join file, and the head's folder of certificates."""

from __future__ import annotations

import json
import ssl
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from solominer.chain.networks import NETWORKS
from solominer.config.cluster import DEFAULT_PORT
from solominer.config.password_file import others_can_read
from solominer.config.paths import plain_bytes, read_file, reason
from solominer.engines.cluster.json_file import read_json, text_in, texts_in, write_private
from solominer.engines.cluster.subjects import check_node
from solominer.engines.cluster.tls import check_dates, tls_context
from solominer.errors import ConfigError

JOIN_FORM = "solominer-join/1"
CLUSTER_FORM = "solominer-cluster/1"
CLUSTER_FILE = "cluster.json"
_AGAIN = "fetch it again from the head, or make a new one there: solominer cluster add NODE --renew"


def inbox_prefix(node: str) -> str:
    """Answers to this node arrive below this subject; the server lets no other node subscribe to it."""
    return f"_INBOX.{node}"


@dataclass(frozen=True, slots=True)
class JoinFile:
    """A node's name, its servers, its certificate and key, and whom a job must pay for this node to work on it.

    `servers` are URLs such as nats://head:4222. A coinbase may pay the output scripts in `payout_scripts` and nobody
    else; it is () on regtest alone, and then not checked.
    """

    node: str
    servers: tuple[str, ...]
    ca_pem: str
    certificate_pem: str
    key_pem: str = field(repr=False)
    network: str
    payout_scripts: tuple[bytes, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a join file. Raises ConfigError with what to do, also for a certificate that is not valid now."""
        values = read_json(path, JOIN_FORM, _AGAIN)
        if others_can_read(path, stat.S_IROTH):
            raise ConfigError(f"{path} contains a private key, and every user can read it", f"chmod 600 {path}")
        node, ca, certificate, key, network = (
            text_in(values, name, path, _AGAIN) for name in ("node", "ca_pem", "certificate_pem", "key_pem", "network")
        )
        check_node(node)
        if network not in NETWORKS:
            raise ConfigError(f"{path} is for the unknown network {network!r:.40}", "install the head's version here")
        check_dates(certificate, node, f"on the head: solominer cluster add {node} --renew")
        try:
            texts = texts_in(values, "payout_scripts", path, _AGAIN, may_be_empty=network == "regtest")
            scripts = tuple(map(bytes.fromhex, texts))
        except ValueError:
            raise ConfigError(f"{path}: payout_scripts are not hexadecimal", _AGAIN) from None
        return cls(node, texts_in(values, "servers", path, _AGAIN), ca, certificate, key, network, scripts)

    def write(self, path: Path) -> None:
        """Write it with mode 0600, replacing what is there. Raises OSError."""
        values = {"format": JOIN_FORM} | asdict(self)
        values["payout_scripts"] = [script.hex() for script in self.payout_scripts]
        write_private(path, json.dumps(values, indent=1) + "\n")

    def tls_context(self) -> ssl.SSLContext:
        """The context of its connections. Raises ConfigError."""
        return tls_context(self.ca_pem, self.certificate_pem, self.key_pem)


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """The head's certificate and key, and the URLs of its servers."""

    servers: tuple[str, ...]
    ca_pem: str
    certificate_pem: str
    key_pem: str = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `solominer cluster init` wrote into `folder`. Raises ConfigError."""
        again = f"solominer cluster init --dir {folder}"
        values = read_json(folder / CLUSTER_FILE, CLUSTER_FORM, again)
        ca, certificate, key = (read_pem(folder / name, again) for name in ("ca.pem", "head.pem", "head.key"))
        check_dates(certificate, "the head", again)
        return cls(texts_in(values, "servers", folder / CLUSTER_FILE, again), ca, certificate, key)

    @property
    def local_url(self) -> str:
        """The URL of a server on this machine, as the daemon starts it."""
        return f"nats://127.0.0.1:{urlsplit(self.servers[0]).port or DEFAULT_PORT}"

    def tls_context(self) -> ssl.SSLContext:
        """The context of its connections. Raises ConfigError."""
        return tls_context(self.ca_pem, self.certificate_pem, self.key_pem)


def node_names(folder: Path) -> list[str]:
    """The nodes of the cluster in the head's folder as it is now; none if it cannot be read."""
    try:
        nodes = read_json(folder / CLUSTER_FILE, CLUSTER_FORM, "")["nodes"]
    except (ConfigError, KeyError):
        return []
    return list(nodes) if isinstance(nodes, dict) else []


def read_pem(path: Path, again: str) -> str:
    """The text of a PEM file. Raises ConfigError."""
    try:
        return plain_bytes(read_file(path, 1 << 16)).decode()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}", again) from None
