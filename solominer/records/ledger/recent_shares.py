"""The shares that the last hours' ledgers have, so that one which is handed in again is not recorded twice."""

from __future__ import annotations

from typing import NamedTuple

from solominer.records.ledger.ledger import entries
from solominer.records.tree import HOUR_SECS, Tree
from solominer.work.events import ShareFound


class Nonces(NamedTuple):
    """What an engine chose in a header; with the salt in the extranonce it tells the header from all others."""

    extranonce: bytes
    version: int
    ntime: int
    nonce: int

    @classmethod
    def of(cls, share: ShareFound) -> Nonces:
        """The nonces of a share."""
        return cls(share.extranonce, share.version, share.ntime, share.nonce)


def recent_shares(tree: Tree, engine: str, since: float) -> set[Nonces]:
    """The recorded shares of an engine's workers since then (Unix seconds). Raises OSError."""
    found = set()
    for part in tree.parts("ledger"):
        if part.start + HOUR_SECS < since:
            continue
        for entry in entries(tree, part):
            if entry.get("kind") == "share" and str(entry.get("worker")).startswith(f"{engine}/"):
                try:
                    extranonce = bytes.fromhex(entry["extranonce_hex"])
                    found.add(Nonces(extranonce, entry["version"], entry["ntime"], entry["nonce"]))
                except (LookupError, TypeError, ValueError):  # a foreign line
                    continue
    return found
