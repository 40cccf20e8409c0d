"""A cluster with three servers on this machine, whose network can be cut in two: both sides live.

One side has a server, the head and a node; the other one two servers, the daemon that stands by and a node.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

from solominer.node.private.bitcoind import BitcoindBinary
from solominer.setup.cluster.folder import Cluster
from solominer.setup.cluster.nats_conf import NAME_VARIABLE
from tests.engines.cluster.server import await_port, nats_server
from tests.faults.cluster_site import ClusterSite, Program
from tests.faults.link import Link
from tests.ports import free_ports

NOBODY = "127.0.0.1:1"
"""What servers tell each other of their ports: otherwise they would find ways beside the links."""
_ROUTES = re.compile(r'listen: "0\.0\.0\.0:\d+", routes: \[[^]]*\]')
_LISTEN = re.compile(r'listen: "0\.0\.0\.0:\d+"')


class SplitSite(ClusterSite):
    """As ClusterSite, with the servers s1, s2 and s3; the nodes are n1 and n2, which is on the other side."""

    def __init__(self, binary: BitcoindBinary, folder: Path) -> None:
        super().__init__(binary, folder, 2, standby=True)
        self.ports, route_ports = free_ports(3), free_ports(3)
        path = self.cluster.path
        urls = tuple(f"nats://127.0.0.1:{port}" for port in self.ports)
        self.cluster.init(Cluster("regtest", urls, (), str(path), str(path / "jetstream")))
        ends = [*(head.name for head in self.heads), *self.nodes]
        self._to_servers = {(end, number): Link(port) for end in ends for number, port in enumerate(self.ports)}
        self._between = {(one, other): Link(route_ports[other]) for one, other in ((0, 1), (0, 2), (1, 2), (2, 1))}
        self._route_ports = route_ports
        self.servers = [
            Program(name, ["env", f"{NAME_VARIABLE}={name}", nats_server(), "-c", str(path / f"{name}.conf")])
            for name in ("s1", "s2", "s3")
        ]

    def _urls_for(self, name: str) -> tuple[str, ...]:
        return tuple(f"nats://127.0.0.1:{self._to_servers[name, number].port}" for number in range(3))

    @property
    def _all_links(self) -> Iterable[Link]:
        return (*self._to_servers.values(), *self._between.values())

    @property
    def programs(self) -> list[Program]:
        """All but bitcoind."""
        return [*self.servers, *self.heads, *self.nodes.values()]

    def start_server(self) -> None:
        """Start all three."""
        path = self.cluster.path
        text = (path / "nats.conf").read_text()
        for number, server in enumerate(self.servers):
            routes = [f'"nats://127.0.0.1:{link.port}"' for pair, link in self._between.items() if pair[0] == number]
            between = f'listen: "127.0.0.1:{self._route_ports[number]}", routes: [{", ".join(routes)}]'
            own = _ROUTES.sub(f'{between}, advertise: "{NOBODY}", no_advertise: true', text)
            own = _LISTEN.sub(f'listen: "127.0.0.1:{self.ports[number]}"', own)
            own = own.replace(str(path / "jetstream"), str(path / server.name))
            (path / server.name).mkdir()
            (path / f"{server.name}.conf").write_text(own)
            server.start()
        for port in self.ports:  # a server alone does not listen
            await_port(port, None)

    def _across(self, side: str) -> list[Link]:
        """The links from one side to the other; `side` is the daemon of the smaller one."""
        small = {side, "n1"}
        ends = [link for (end, number), link in self._to_servers.items() if (number == 0) != (end in small)]
        return [*ends, self._between[0, 1], self._between[0, 2]]

    def split(self, side: str) -> float:
        """Cut the network in two, s1, this daemon and n1 on one side; when that was (monotonic)."""
        for link in self._across(side):
            link.cut()
        return time.monotonic()

    def join(self) -> float:
        """Mend everything; when that was."""
        for link in self._all_links:
            link.mend()
        return time.monotonic()
