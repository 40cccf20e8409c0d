"""How long a connection is not read from: whoever keeps the server busy, or sends more than he may, waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from solominer.engines.stratum.channel import ListenerSetup, ServerLimits, Setup
from solominer.engines.stratum.connection import LONG_TURN_SECS, Connection
from solominer.engines.stratum.events import Output
from solominer.engines.stratum.listener import Listener
from solominer.engines.stratum.server import Server
from solominer.engines.stratum.session import Session
from tests.engines.stratum.builders import make_shared


class Transport(asyncio.Transport):
    """Notes pauses; has no socket."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        """Note it."""
        self.calls.append("pause")

    def resume_reading(self) -> None:
        """Note it."""
        self.calls.append("resume")

    def is_closing(self) -> bool:
        """Never."""
        return False


@pytest.mark.parametrize(
    ("turn_secs", "pause_secs", "waits"),
    [(LONG_TURN_SECS / 2, 0.0, 0.0), (0.2, 0.0, 0.2), (0.2, 1.5, 1.5), (0.001, 0.5, 0.5), (900.0, 0.0, 5.0)],
)
async def test_who_keeps_the_server_busy_waits_as_long_again(
    turn_secs: float, pause_secs: float, waits: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, delays = [0.0], list[float]()

    def receive(session: Session, data: bytes, now: float) -> Output:
        clock[0] += turn_secs
        return Output(pause_secs=pause_secs)

    def call_later(secs: float, call: Any) -> None:
        delays.append(secs)
        call()

    setup = Setup(1, [ListenerSetup()], ServerLimits(), 0, 1, 0)
    server = Server(setup, lambda message: None, lambda: clock[0])
    connection = Connection(server, Listener(ListenerSetup(), make_shared()))
    transport = Transport()
    connection.connection_made(transport)
    monkeypatch.setattr(Session, "receive", receive)
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    connection.data_received(b"{}\n")
    assert delays == ([pytest.approx(waits)] if waits else [])
    assert transport.calls == (["pause", "resume"] if waits else [])
