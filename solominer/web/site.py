"""What all parts of the web server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from solominer.records.ledger.reader import LedgerReader
from solominer.records.tree import Tree
from solominer.web.alerts.center import AlertCenter
from solominer.web.answers import Answers
from solominer.web.best import BestShares
from solominer.web.compat.history import WorkHistory
from solominer.web.devices.device import DeviceMonitor
from solominer.web.feed import DaemonFeed
from solominer.web.hours import Hours
from solominer.web.hub import Hub
from solominer.web.live import Live
from solominer.web.setup import WebSetup

INDEX_TIMEOUT_SECS = 5.0
"""How long a query waits for another process that is writing the ledger's index."""


@dataclass(frozen=True, slots=True)
class Site:
    """The setup, the daemon's newest state, the records, what workers did according to them, and devices."""

    setup: WebSetup
    feed: DaemonFeed
    tree: Tree
    ledger: LedgerReader
    live: Live
    hours: Hours
    best: BestShares
    hub: Hub
    answers: Answers
    alerts: AlertCenter
    work: WorkHistory
    devices: DeviceMonitor

    @classmethod
    def of(cls, setup: WebSetup) -> Site:
        """The site of one daemon, not yet connected to it."""
        tree = Tree(setup.folder)
        ledger = LedgerReader(tree, timeout_secs=INDEX_TIMEOUT_SECS)
        live, hours = Live(tree, ledger, setup.network), Hours(tree)
        best = BestShares(tree, live, hours)
        feed = DaemonFeed(setup.folder)
        devices = DeviceMonitor(setup.devices, setup.device_polling)
        alerts, work = AlertCenter(setup, feed, live, devices), WorkHistory(ledger)
        return cls(setup, feed, tree, ledger, live, hours, best, Hub(live), Answers(), alerts, work, devices)


def _site(connection: HTTPConnection) -> Site:
    site: Site = connection.app.state.site
    return site


TheSite = Annotated[Site, Depends(_site)]
"""Parameter of an endpoint: the site."""
