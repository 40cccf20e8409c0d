"""The best shares: of this session, ever, and the best twenty, from the best hashes that every hour keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nlargest
from typing import Any

from pydantic import BaseModel

from solominer.errors import DecodeError
from solominer.records.files import is_regular
from solominer.records.ledger.jsonlines import read_object
from solominer.records.ledger.ledger import entries
from solominer.records.report.best import KEPT
from solominer.records.tree import Part, Tree
from solominer.web.hours import HourPoint, Hours
from solominer.web.live import Live
from solominer.web.shares import JobFacts, Jobs, Share, share_of

TOP = 20
MOST_HOURS = 100


class BestShare(BaseModel):
    """The best share since the first record; `proof` is the path of its certificate (null until its hour is sealed)."""

    at: float
    difficulty: float
    worker: str
    hash: str
    height: int
    proof: str | None


def certificate_path(tree: Tree, part: Part) -> str | None:
    """Where the certificate of a part's best share lies, relative to the root; None if there is none."""
    path = f"proofs/{part.path}/best-share.json"
    return path if is_regular(tree.root / path) else None


class BestShares:
    """Finds the best shares of one network. Used in threads."""

    def __init__(self, tree: Tree, live: Live, hours: Hours) -> None:
        self._tree, self._live, self._hours = tree, live, hours
        self._first_hour: tuple[int, Share | None] = (-1, None)
        self._kept: dict[Part, list[Share]] = {}

    def ever(self) -> BestShare | None:
        """The best share of all reports and the open hour."""
        report = self._live.report()
        try:
            best = None if report is None else report["best"]["all_time"]
            if best is None:
                return None
            part = Part.parse(best["part"])
            proof = f"/api/v1/reports/{part.path.replace('/', '-')}/best-share"
            fields = {name: best[name] for name in ("at", "difficulty", "worker", "hash", "height")}
            return BestShare(**fields, proof=proof if certificate_path(self._tree, part) else None)
        except (LookupError, TypeError, ValueError):
            return None

    def session(self) -> Share | None:
        """The best share since the daemon's newest start."""
        opened, tail = self._live.index().page("open", limit=1), self._live.tail
        if not opened or tail.session_seq == opened[0]["seq"]:
            return tail.session
        seq, begin = opened[0]["seq"], Part.at(opened[0]["at"]).start
        sealed = [part for part in self._hours.sealed(tail.state.head) if part.start >= begin]
        if self._first_hour[0] != seq:
            self._first_hour = seq, _best_after(self._tree, sealed, begin, seq)
        later = [point for point in self._hours.points(sealed) if point.part.start > begin]
        found = [self._first_hour[1], tail.session, *self._of_best_hours(later, 1)]
        return max((share for share in found if share is not None), key=_difficulty, default=None)

    def top(self) -> list[Share]:
        """The best shares, at most 20, best first.

        An hour keeps its sixteen best only. Where all of them are among the best, its next one could be too, so the
        list ends there.
        """
        tail = self._live.tail
        found = self._of_best_hours(self._hours.points(self._hours.sealed(tail.state.head)), TOP)
        with self._live.lock:
            kept = [] if tail.fold is None else list(tail.fold.best.kept)
        found += [share for best in kept if (share := _share(best.share, best.job)) is not None]
        complete_down_to = max((hour[-1].difficulty for hour in self._kept.values() if len(hour) >= KEPT), default=0.0)
        best = nlargest(TOP, {share.hash: share for share in found}.values(), key=_difficulty)
        return [share for share in best if share.difficulty >= complete_down_to]

    def _of_best_hours(self, points: Iterable[HourPoint], count: int) -> list[Share]:
        """The kept shares of the `count` hours with the best shares: no other hour has one of the `count` best."""
        best = nlargest(count, points, key=lambda point: point.best_difficulty or 0.0)
        return [share for point in best for share in self._of_hour(point.part)]

    def _of_hour(self, part: Part) -> list[Share]:
        """The kept shares of a sealed part, best first."""
        if part not in self._kept:
            if len(self._kept) >= MOST_HOURS:
                self._kept.clear()
            self._kept[part] = _kept_shares(self._tree, part)
        return self._kept[part]


def _kept_shares(tree: Tree, part: Part) -> list[Share]:
    document = read_object(tree.root / f"proofs/{part.path}/best-hashes.json")
    try:
        jobs, hashes = ({}, []) if document is None else (document["jobs"], document["hashes"])
        found = [_share(kept, jobs[kept["job"]]) for kept in hashes]
    except (LookupError, TypeError):
        return []
    return [share for share in found if share is not None]


def _share(share: Mapping[str, Any], job: Mapping[str, Any]) -> Share | None:
    try:
        return share_of(share, JobFacts.of(job))
    except DecodeError:
        return None


def _best_after(tree: Tree, sealed: Iterable[Part], begin: int, seq: int) -> Share | None:
    """The best share after the entry `seq` in the parts of the hour `begin`."""
    jobs, best = Jobs(), None
    for part in sealed:
        for entry in entries(tree, part) if part.start == begin else ():
            if entry.get("kind") == "work":
                jobs.add(entry)
            elif entry.get("kind") == "share" and entry.get("seq", 0) > seq:
                share = jobs.share(entry)
                if share is not None and (best is None or share.hash < best.hash):
                    best = share
    return best


def _difficulty(share: Share) -> float:
    return share.difficulty
