"""What `bench_stratum --v2` runs in a process of its own: V2 miners that load a server.

Keys are made and shares are encrypted before the clock starts, and the server's certificate is not checked, so that a
share or a handshake costs the load less than the server; one epoll has all sockets. A line of JSON on standard output
for each thing that is measured; a line on standard input goes on.
"""

from __future__ import annotations

import argparse
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator

import in_venv  # noqa: F401
from stratum_load import READ_BYTES, say

from solominer.engines.stratum.v2.certificate import Certificate
from solominer.engines.stratum.v2.client import V2Client
from solominer.engines.stratum.v2.messages import (
    OpenStandardMiningChannel,
    SetNewPrevHash,
    SetupConnection,
    SubmitSharesError,
    SubmitSharesStandard,
    SubmitSharesSuccess,
)

LINES = 100
TIP_BYTES = 83 + 86
"""A future job and SetNewPrevHash, encrypted."""


class Miner:
    """One connection with one standard channel, and the packets that are still to be sent."""

    __slots__ = ("client", "is_ready", "left", "number", "owed", "read", "socket")

    def __init__(self, number: int) -> None:
        self.number = number
        self.client = V2Client(bytes(32))
        self.is_ready = False
        self.read = 0
        self.left: Iterator[bytes] = iter(())
        self.owed = 0
        """Shares that are still to be answered."""

    def connect(self, port: int) -> None:
        """Send act 1."""
        self.socket = socket.socket()
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.send(self.client.act1)
        self.socket.setblocking(False)

    def reads_job(self, data: bytes) -> bool:
        """Whether these bytes complete its first job."""
        was_secure = self.client.is_secure
        said = self.client.receive(data)
        if self.client.is_secure and not was_secure:
            setup = SetupConnection(0, 2, 2, 1, "127.0.0.1", 0, "bench", "", "1", "")
            opening = OpenStandardMiningChannel(1, f"m{self.number}", 0.0, b"\xff" * 32)
            self.socket.send(self.client.sealed(setup, opening))
        self.is_ready = any(isinstance(message, SetNewPrevHash) for message in said)
        return self.is_ready

    def packets(self, count: int, lines: int) -> Iterator[bytes]:
        """So many packets of shares of the first job, each share another one."""
        work = self.client.channels[1].work
        assert work is not None
        for packet in range(count):
            numbers = range(packet * lines, (packet + 1) * lines)
            yield self.client.sealed(
                *(SubmitSharesStandard(1, n, work.job.job_id, n, work.ntime, work.job.version) for n in numbers)
            )

    def answers(self, data: bytes) -> tuple[int, int]:
        """How many shares these bytes accept, and refuse."""
        said = self.client.receive(data)
        accepted = sum(each.new_submits_accepted_count for each in said if isinstance(each, SubmitSharesSuccess))
        return accepted, sum(isinstance(each, SubmitSharesError) for each in said)


class Load:
    """All connections behind one epoll."""

    def __init__(self, port: int, connections: int) -> None:
        self.port, self.wanted = port, connections
        self.lost = 0
        self._poll = select.epoll()
        self._fresh = [Miner(number) for number in range(connections)]
        self._miners: dict[int, Miner] = {}

    def connect(self) -> float:
        """Open all connections; seconds until each has its first job."""
        began = time.perf_counter()
        for miner in self._fresh:
            miner.connect(self.port)
            self._miners[miner.socket.fileno()] = miner
            self._poll.register(miner.socket, select.EPOLLIN)
        ready = 0
        while ready + self.lost < self.wanted:
            ready += sum(miner.reads_job(data) for miner, data in self._received())
        return time.perf_counter() - began

    def _received(self) -> Iterator[tuple[Miner, bytes]]:
        """What has arrived, by connection."""
        for descriptor, _ in self._poll.poll():
            miner = self._miners[descriptor]
            data = miner.socket.recv(READ_BYTES)
            if data:
                yield miner, data
            else:
                self.lost += 1
                self._poll.unregister(descriptor)

    def shares(self, per_connection: int, lines: int, ahead: int) -> dict[str, float]:
        """Hand in so many shares on each connection, `lines` a packet and `ahead` packets before an answer."""
        count = per_connection // lines
        for miner in self._miners.values():
            miner.left = iter(list(miner.packets(count, lines)))
            miner.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)  # so that packets leave whole
        total = self.wanted * count * lines
        left, accepted, low = total, 0, (ahead - 1) * lines
        say({"waiting": True})
        began, cpu = time.perf_counter(), time.process_time()
        for miner in self._miners.values():
            miner.owed = ahead * lines
            for _ in range(ahead):
                miner.socket.send(next(miner.left))
        while left > 0 and not self.lost:
            for miner, data in self._received():
                good, bad = miner.answers(data)
                accepted += good
                left -= good + bad
                miner.owed -= good + bad
                while miner.owed <= low and (packet := next(miner.left, None)):
                    miner.owed += lines
                    miner.socket.send(packet)
        secs, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {"per_second": total / secs, "accepted": accepted / total, "cpu_secs": cpu}

    def arrivals(self) -> list[float]:
        """The monotonic times at which the next job arrived whole, of all connections."""
        times: list[float] = []
        for miner in self._miners.values():
            miner.read = 0
        while len(times) + self.lost < self.wanted:
            for miner, data in self._received():
                miner.read += len(data)
                if miner.read == TIP_BYTES:
                    times.append(time.monotonic())
        return times


def main() -> None:
    """Play the miners."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("shares", "packets", "connect", "tips", "idle"))
    for name in ("port", "connections", "shares", "tips"):
        parser.add_argument(f"--{name}", type=int, default=0)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Certificate.check = lambda *_: None  # type: ignore[method-assign]
    one = Load(args.port, args.connections)
    cpu = time.process_time()
    say({"ready_secs": one.connect(), "lost": one.lost, "cpu_secs": time.process_time() - cpu})
    if args.what == "shares":
        say(one.shares(args.shares, LINES, 3))
    elif args.what == "packets":
        say(one.shares(args.shares, 1, 1))
    elif args.what == "tips":
        for _ in range(args.tips):
            say({"waiting": True})
            cpu = time.process_time()
            arrivals = one.arrivals()
            say({"arrivals": arrivals, "cpu_secs": time.process_time() - cpu})
    sys.stdin.readline()


if __name__ == "__main__":
    main()
