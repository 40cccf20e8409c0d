"""What `bench_stratum` runs in processes of their own: miners that load a server, and a bare server to compare with.

Standard library alone; packets are prepared before the clock starts, and one epoll has all sockets. A line of JSON on
standard output for each thing that is measured; a line on standard input goes on.
"""

from __future__ import annotations

import argparse
import json
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

EVERY_HASH = f"{2.0**-33:.20f}"
"""The difficulty that each hash meets."""

LINES = 100
READ_BYTES = 1 << 14
"""A larger buffer would be mapped anew for each read."""


class Miner:
    """One connection: a socket, what it read until its first job, and the packets that are still to be sent."""

    __slots__ = ("is_ready", "left", "number", "owed", "read", "socket")

    def __init__(self, number: int, port: int) -> None:
        self.number = number
        self.is_ready = False
        self.read = b""
        self.left: Iterator[bytes] = iter(())
        self.owed = 0
        """Replies that are still to come."""
        self.socket = socket.socket()
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.send(
            b'{"id":1,"method":"mining.subscribe","params":["bench/1"]}\n'
            b'{"id":2,"method":"mining.authorize","params":["m%d","x=%b"]}\n' % (number, EVERY_HASH.encode())
        )
        self.socket.setblocking(False)

    def reads_job(self, data: bytes) -> bool:
        """Whether these bytes complete its first job."""
        self.read += data
        self.is_ready = self.read.endswith(b",true]}\n")
        return self.is_ready

    def packets(self, count: int, lines: int) -> Iterator[bytes]:
        """So many packets of shares of the first job, each share another one."""
        params = json.loads(self.read.splitlines()[-1])["params"]
        job_id, ntime = params[0], params[7]
        share = 0
        for _ in range(count):
            text = []
            for _ in range(lines):
                share += 1
                text.append(
                    f'{{"id":{share},"method":"mining.submit","params":["m{self.number}","{job_id}",'
                    f'"{share:016x}","{ntime}","{self.number:08x}"]}}\n'
                )
            yield "".join(text).encode()


class Load:
    """All connections behind one epoll, so that a share costs the load less than the server, and what is measured."""

    def __init__(self, port: int, connections: int) -> None:
        self.port, self.wanted = port, connections
        self.lost = 0
        self._poll = select.epoll()
        self._miners: dict[int, Miner] = {}

    def connect(self) -> float:
        """Open all connections; seconds until each has its first job."""
        began = time.perf_counter()
        for number in range(self.wanted):
            miner = Miner(number, self.port)
            self._miners[miner.socket.fileno()] = miner
            self._poll.register(miner.socket, select.EPOLLIN)
        ready = 0
        while ready + self.lost < self.wanted:
            ready += sum(miner.reads_job(data) for miner, data in self._received() if not miner.is_ready)
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
        left, accepted, low = self.wanted * count * lines, 0, (ahead - 1) * lines
        total = left
        say({"waiting": True})
        began, cpu = time.perf_counter(), time.process_time()
        for miner in self._miners.values():
            miner.owed = ahead * lines
            for _ in range(ahead):
                miner.socket.send(next(miner.left))
        while left > 0 and not self.lost:
            for miner, data in self._received():
                accepted += data.count(b'"result":true')
                replies = data.count(b"\n")
                left -= replies
                miner.owed -= replies
                while miner.owed <= low and (packet := next(miner.left, None)):
                    miner.owed += lines
                    miner.socket.send(packet)
        secs, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {"per_second": total / secs, "accepted": accepted / total, "cpu_secs": cpu}

    def arrivals(self) -> list[float]:
        """The monotonic times at which the next job arrived, of all connections."""
        times: list[float] = []
        while len(times) + self.lost < self.wanted:
            times += [time.monotonic() for _, data in self._received() if b",true]}\n" in data]
        return times


def load(args: argparse.Namespace) -> None:
    """Play the miners."""
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


def bare(args: argparse.Namespace) -> None:
    """Move the bytes that a server would move, and do nothing else.

    The first packet of a connection is answered like a login, each later one like a share; with a line on standard
    input a job goes to all.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=8192)
    listening.setblocking(False)
    poll = select.epoll()
    poll.register(listening, select.EPOLLIN)
    poll.register(sys.stdin, select.EPOLLIN)
    say({"port": listening.getsockname()[1]})
    notify = args.job.encode() + b"\n"
    login = b"x" * 249 + b"\n" + notify
    share = b'{"id":100,"result":true,"error":null}\n'
    sockets: dict[int, socket.socket] = {}
    fresh = set()
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listening.fileno():
                try:
                    while True:
                        other, _ = listening.accept()
                        other.setblocking(False)
                        other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        sockets[other.fileno()] = other
                        fresh.add(other.fileno())
                        poll.register(other, select.EPOLLIN)
                except BlockingIOError:
                    continue
            elif descriptor == sys.stdin.fileno():
                if not sys.stdin.readline():
                    return
                for each in sockets.values():
                    each.send(notify)
            elif sockets[descriptor].recv(READ_BYTES):
                sockets[descriptor].send(login if descriptor in fresh else share)
                fresh.discard(descriptor)
            else:
                sockets.pop(descriptor).close()


def say(what: dict[str, Any]) -> None:
    """A line for the first process."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do one of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("shares", "packets", "connect", "tips", "idle", "bare"))
    parser.add_argument("--job", default="")
    for name in ("port", "connections", "shares", "tips"):
        parser.add_argument(f"--{name}", type=int, default=0)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    bare(args) if args.what == "bare" else load(args)


if __name__ == "__main__":
    main()
