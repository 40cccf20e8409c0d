"""A site without a daemon: its status is set by the test, its records are written by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from solominer.config.web import WebConfig
from solominer.records.ledger.ledger import encode, ledger_path
from solominer.records.tree import Part
from solominer.views.snapshot import BlockView, NodeView, PayoutView, Snapshot, TemplateView, WorkerView
from solominer.views.snapshot import encode as line
from solominer.web.app import create_app
from solominer.web.setup import WebSetup
from solominer.web.site import Site

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
OWN = "bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8zeqchgx"


def miner(name: str, **values: Any) -> WorkerView:
    """A Stratum miner that is connected."""
    view = WorkerView(f"stratum/{name}", 0, True, "bitaxe/BM1370", 1.2e12, 0, 5e15, 70, 1, 4096.0, 123456.789, 2)
    return replace(view, **values)


def status(*workers: WorkerView, **values: Any) -> Snapshot:
    """A run of an hour, at height 840000 of regtest."""
    now = time.time()
    cpu = WorkerView("cpu/0", 77, True, "sha-x86-4", 2e7, 72_000_000_000, 0.0, 40)
    found = Snapshot(
        at=now, mode="production", network="regtest", simulated=False, status="mining", started_at=now - 3600,
        height=840_000, tip_hex="00" * 32, tip_at=now - 60, transactions=3000, fees_sats=1_000_000, template_at=now - 5,
        network_difficulty=1e14, share_difficulty=0.5, rate_hps=1.2e12, rate_low_hps=1e12, rate_high_hps=1.4e12,
        hashes=10**20, shares=40, accepted_blocks=1, payout="all to " + OWN, data_dir="/x",
        workers=workers or (cpu, miner(f"{ADDRESS}.rig")),
        nodes=(NodeView("node", True, True, 840_000, 10, "ok", 0.01, ""),),
        blocks=(BlockView(839_990, "11" * 32, "confirmed", 11, 312_500_000),), events=(),
        payouts=(PayoutView(OWN, 10_000, 312_500_000),),
        template=TemplateView(840_001, False, 3000, 1_000_000, 313_500_000, 3_990_000, 4_000_000, 9000, ()),
    )  # fmt: skip
    return replace(found, **values)


def site(folder: Path, **web: Any) -> Site:
    """A site on a folder of records."""
    return Site.of(WebSetup(folder=folder, network="regtest", simulated=False, web=WebConfig(**web)))


def tell(site: Site, snapshot: Snapshot) -> None:
    """As if the daemon had sent this status."""
    site.feed._take(b'{"ok":true,"status":' + line(snapshot) + b"}\n")


class Ledger:
    """Writes lines into the ledger of a site."""

    def __init__(self, site: Site) -> None:
        self._tree, self._seq = site.tree, 0

    def add(self, at: float, kind: str, fields: Mapping[str, Any]) -> None:
        """One line at this time."""
        self._seq += 1
        path = ledger_path(self._tree, Part.at(at))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(encode({"seq": self._seq, "at": at, "up": 1.0, "kind": kind, **fields}))


def get(site: Site, path: str, **headers: str) -> httpx.Response:
    """What the application answers, in this process."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(site))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3380") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())
