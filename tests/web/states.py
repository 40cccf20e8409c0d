"""States of a daemon, and a daemon that serves them on a control socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from solominer.daemon.control_socket import ControlServer
from solominer.daemon.status_feed import StatusFeed
from solominer.views.snapshot import BlockView, NodeView, Snapshot, WorkerView


def snapshot() -> Snapshot:
    """A run with one CPU worker, one node and one block."""
    return Snapshot(
        at=1_700_000_100.0,
        mode="regtest",
        network="regtest",
        simulated=False,
        status="mining",
        started_at=1_700_000_000.0,
        height=120,
        tip_hex="11" * 32,
        tip_at=1_700_000_090.0,
        transactions=2,
        fees_sats=1234,
        template_at=1_700_000_091.0,
        network_difficulty=4.656542373906925e-10,
        share_difficulty=4.656542373906925e-10,
        rate_hps=1.5e7,
        rate_low_hps=1.4e7,
        rate_high_hps=1.6e7,
        hashes=123_456_789,
        shares=5,
        accepted_blocks=1,
        payout="bcrt1qexample",
        data_dir="/data",
        workers=(WorkerView("cpu/0", 4711, True, "sha-x86-4", 1.5e7, 123_456_789, 0.0, 5),),
        nodes=(NodeView("node", True, True, 120, 0, "ok", 0.001, ""),),
        blocks=(BlockView(120, "22" * 32, "accepted", 1, 5_000_001_234),),
        events=((1_700_000_001.0, "hashing started"),),
    )


class FakeDaemon:
    """Serves `state`, which a test may change, with `watch`; `urgent` changes are seen at once."""

    def __init__(self, folder: Path, state: Snapshot | None = None) -> None:
        self.state = state or snapshot()
        feed = StatusFeed(lambda: self.state, lambda: (self.state.tip_hex, self.state.status, self.state.pauses))
        folder.mkdir(parents=True, exist_ok=True)
        self._server = ControlServer(folder, {}, {"watch": feed.lines})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeDaemon]:
        """Serve while the block runs."""
        task = asyncio.create_task(self._server.run())
        try:
            while not self._server.path.exists():
                assert not task.done()
                await asyncio.sleep(0)
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
