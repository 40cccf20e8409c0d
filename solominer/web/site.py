"""What all parts of the web server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from solominer.records.ledger.index import LedgerIndex
from solominer.records.tree import Tree
from solominer.web.compat.history import WorkHistory
from solominer.web.feed import DaemonFeed
from solominer.web.setup import WebSetup


@dataclass(frozen=True, slots=True)
class Site:
    """The setup, the daemon's newest state, the records, and what workers did according to them."""

    setup: WebSetup
    feed: DaemonFeed
    tree: Tree
    ledger: LedgerIndex
    work: WorkHistory

    @classmethod
    def of(cls, setup: WebSetup) -> Site:
        """The site of one daemon, not yet connected to it."""
        tree = Tree(setup.folder)
        ledger = LedgerIndex(tree)
        return cls(setup, DaemonFeed(setup.folder), tree, ledger, WorkHistory(ledger))


def _site(connection: HTTPConnection) -> Site:
    site: Site = connection.app.state.site
    return site


TheSite = Annotated[Site, Depends(_site)]
"""Parameter of an endpoint: the site."""
