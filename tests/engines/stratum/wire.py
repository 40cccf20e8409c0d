"""A miner at a real socket: what `builders.Client` does with a session, over TCP, TLS or a Unix socket. Blocking."""

from __future__ import annotations

import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.engines.stratum.builders import Client, line
from tests.engines.stratum.test_clients import Play

WAIT_SECS = 20.0


@dataclass
class WireMiner(Client):
    """Give `url` as the engine names it. `before` is sent first of all (a PROXY header). Raises OSError."""

    opened: ClassVar[list[WireMiner]] = []
    url: str = ""
    before: bytes = b""
    sock: socket.socket = field(init=False)
    rest: bytes = b""
    at_end: bool = False

    def __post_init__(self) -> None:
        scheme, _, place = self.url.partition(":")
        if scheme == "unix":
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(WAIT_SECS)
            self.sock.connect(place)
        else:
            host, _, port = place[2:].rpartition(":")
            self.sock = socket.create_connection((host.strip("[]"), int(port)), WAIT_SECS)
        self.opened.append(self)
        if self.before:
            self.sock.sendall(self.before)
        if scheme == "stratum+ssl":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)

    def write(self, text: str) -> None:
        """Send lines as they are."""
        self.sock.sendall(text.encode())

    def read(self) -> list[dict[str, Any]]:
        """The next lines, at least one unless the server has closed."""
        while b"\n" not in self.rest and not self.at_end:
            data = self.sock.recv(1 << 16)
            self.at_end = not data
            self.rest += data
        whole, _, self.rest = self.rest.rpartition(b"\n")
        fresh = [json.loads(each) for each in whole.splitlines()]
        self.note(fresh)
        return fresh

    def until(self, method: str, *, count: int = 1) -> dict[str, Any]:
        """Read until `count` such notifications came (from the first line on); the last one."""
        deadline = time.monotonic() + WAIT_SECS
        while True:
            found = [each for each in self.lines if each.get("method") == method]
            if len(found) >= count:
                return found[count - 1]
            assert not self.at_end, f"closed after {self.lines[-3:]}"
            assert time.monotonic() < deadline, f"no {method} in {self.lines[-3:]}"
            self.read()

    def reply(self, id_value: object, *, start: int = 0) -> dict[str, Any]:
        """Read until the reply of that id comes, among the lines from `start` on."""
        while True:
            for each in self.lines[start:]:
                if "method" not in each and each["id"] == id_value:
                    return each
            assert not self.at_end, f"closed after {self.lines[-3:]}"
            self.read()

    def log_in(self, agent: str = "test/1", user: str = "rig.1", session: str = "") -> None:
        """Subscribe (resuming that session), authorize, and wait for the first job."""
        self.write(line(1, "mining.subscribe", agent, *([session] if session else [])) + "\n")
        self.write(line(2, "mining.authorize", user, "x") + "\n")
        self.until("mining.notify")

    def play(self, lines: Play) -> None:
        """Log in with a client's own lines, and wait for the first job."""
        for packet, expected in zip(lines.packets, lines.expected, strict=True):
            before = len(self.lines)
            self.write(packet)
            for kind in expected:
                if not kind.startswith("mining."):
                    self.reply(json.loads(kind), start=before)
        self.until("mining.notify")

    def hand_in(self, params: list[str], user: str = "rig.1") -> dict[str, Any]:
        """Submit a share; its reply."""
        start = len(self.lines)
        self.write(line(77, "mining.submit", user, *params) + "\n")
        return self.reply(77, start=start)

    def ended(self) -> bool:
        """Whether the server closes the connection."""
        try:
            while not self.at_end:
                self.read()
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        """Leave."""
        self.sock.close()
