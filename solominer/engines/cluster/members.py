"""The nodes of a run, as the head knows them: their leases, and the counters in their beats."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from solominer.engines.cluster import subjects
from solominer.engines.cluster.complaints import Complaints
from solominer.engines.cluster.messages import MOST_WORKERS, Beat, JoinRequest, Lease, Refusal, WorkerBeat
from solominer.views.text import duration
from solominer.work.workers import ExtranonceDealer, ExtranonceRange, WorkerId, WorkerSnapshot

NAME = "cluster"
LEASE_COUNT = 4
"""Values of extranonce1 in a lease: one for each engine of a node."""
BEATS_MISSED = 2.2
"""A node is lost when it is silent for so many beats."""
MOST_JOINS, JOIN_AGAIN_SECS = 10.0, 5.0
"""So many processes of a node get a lease at once, and one more in each JOIN_AGAIN_SECS: space and log are bounded."""
REMOVED_SECS = 60.0
"""A node that was removed is shown as one that has left for so long: whoever watches it hears of it."""

log = logging.getLogger(__name__)

Note = Callable[[str, Mapping[str, Any]], None]
"""Takes a line for the ledger: its kind and fields."""


@dataclass(slots=True)
class _Counted:
    """A worker's latest beat under a lease, and its hashes and shares under all leases before it."""

    now: WorkerBeat
    hashes_before: int = 0
    shares_before: int = 0
    credited_before: float = 0.0


@dataclass(slots=True)
class _Member:
    """A node; its newest process sent `request` when it `joined`, `heard` is when its last beat came (monotonic).

    `gone` is '' while it is there, else lost, left or removed, since `gone_at` (Unix seconds). `joins` is how many more
    of its processes may join at once, from then on; one that has `ended` sends no more beats.
    """

    name: str
    request: JoinRequest
    lease: Lease
    joined: float
    heard: float
    gone: str = ""
    gone_at: float = 0.0
    removed_at: float | None = None
    joins: float = MOST_JOINS
    ended: bool = False
    workers: dict[str, _Counted] = field(default_factory=dict)

    def is_there(self, now: float) -> bool:
        """Whether its process still sends beats."""
        return not self.gone and now - self.heard < BEATS_MISSED * self.lease.beat_secs


class Members:
    """Deals each process of a node a lease from `space`, which no other gets in this run; what it leaves is lost space.

    `note` writes the leases into the ledger. Times are monotonic seconds.
    """

    def __init__(self, space: ExtranonceRange, network: str, note: Note) -> None:
        self.run = 0
        self._dealer, self._left = ExtranonceDealer(space.first), space.count // LEASE_COUNT
        self._network, self._note = network, note
        self._members: dict[str, _Member] = {}
        self._complaints = Complaints()

    @property
    def names(self) -> Collection[str]:
        """Of those that have joined."""
        return self._members.keys()

    def join(self, name: str, request: JoinRequest, now: float) -> Lease | Refusal:
        """The lease of a node's process: the same one if it asks again, none while one is there on another machine.

        On the same machine, by what `request.program` says, it is a restart.
        """
        if request.network != self._network:
            self._complaints.say(
                logging.WARNING,
                name,
                "is for %s, this cluster mines on %s -> copy its join file of this cluster to it",
                request.network,
                self._network,
            )
            return Refusal(
                f"this cluster mines on {self._network}, and the join file is for {request.network} -> use one that "
                "`solominer cluster add` made on this head"
            )
        member = self._members.get(name)
        if member is not None and member.request.incarnation == request.incarnation:
            return member.lease
        if member is not None and member.is_there(now) and member.request.program != request.program:
            return self._second(member, request, now)
        if member is not None and member.joins + (now - member.joined) / JOIN_AGAIN_SECS < 1.0:
            return Refusal(f"its processes have joined too often: one in {JOIN_AGAIN_SECS:g} s may")
        if not self._left:
            return Refusal("all leases of this run are used up: restart the daemon")
        self._left -= 1
        dealt = self._dealer.deal(LEASE_COUNT)
        many = len(self._members) >= subjects.SLOW_BEATS_FROM
        beat_secs = subjects.SLOW_BEAT_SECS if many else subjects.BEAT_SECS
        lease = Lease(self.run, dealt.first, dealt.count, beat_secs, self._network)
        if member is None:
            self._members[name] = _Member(name, request, lease, now, now)
        else:
            self._replace(member, request, lease, now)
        facts = {"first": dealt.first, "count": dealt.count, "program": request.program}
        self._note("cluster_lease", {"node": name, "incarnation": request.incarnation.hex(), **facts})
        log.info("node %s joined, %s", name, request.program)
        return lease

    def _second(self, member: _Member, request: JoinRequest, now: float) -> Refusal:
        """A process of another machine has the join file of a node that is there."""
        worked = duration(now - member.joined)
        self._complaints.say(
            logging.WARNING,
            member.name,
            "works on two machines: %s is refused, because %s has worked under this name for %s -> if it was not "
            "restarted, both have its join file: solominer cluster add makes another one",
            request.program,
            member.request.program,
            worked,
        )
        return Refusal(
            f"{member.request.program} has worked as {member.name} for {worked} -> stop it there, or make a join file "
            "for this machine on the head: solominer cluster add"
        )

    def _replace(self, member: _Member, request: JoinRequest, lease: Lease, now: float) -> None:
        """A new process of the node has come; the one before is gone, or of the same machine."""
        if member.is_there(now):
            self._complaints.say(
                logging.WARNING,
                member.name,
                "joined again while it was there: if it was not restarted, two processes of %s, or two machines of "
                "that name, have its join file",
                request.program,
            )
        for counted in member.workers.values():
            counted.hashes_before += counted.now.hashes
            counted.shares_before += counted.now.shares
            counted.credited_before += counted.now.credited
            counted.now = WorkerBeat(counted.now.name, counted.now.kernel, "starting", 0, 0.0, 0)
        member.joins = min(MOST_JOINS, member.joins + (now - member.joined) / JOIN_AGAIN_SECS) - 1.0
        member.request, member.lease, member.joined, member.heard = request, lease, now, now
        member.removed_at, member.ended = None, False

    def beat(self, node: str, beat: Beat, now: float) -> None:
        """A node's beat; one of another run, or of a process that has been replaced, is not counted."""
        member = self._members.get(node)
        if member is None or member.ended or (beat.run, beat.first) != (self.run, member.lease.first):
            return
        member.heard = now
        if not beat.workers:
            self._leave(member)
            return
        if member.gone:
            member.gone = ""
            log.info("node %s is back", node)
            self._note("cluster_back", {"node": node})
        for each in beat.workers:
            counted = member.workers.get(each.name)
            if counted is None:
                if len(member.workers) < MOST_WORKERS:  # whatever a stolen node makes up
                    member.workers[each.name] = _Counted(each)
            elif each.done >= counted.now.done:  # a beat that another has overtaken is of no use
                counted.now = each
        if len(member.workers) > len(beat.workers):
            _lose(member, {each.name for each in beat.workers})

    def _leave(self, member: _Member) -> None:
        _go(member, "left")
        member.ended = True
        log.info("node %s has ended", member.name)
        self._note("cluster_left", {"node": member.name})

    def remove(self, name: str, now: float) -> None:
        """The servers refuse it from now on."""
        member = self._members.get(name)
        if member is not None:
            if member.gone != "left":
                _go(member, "left")
            member.removed_at = now
            self._note("cluster_removed", {"node": name})

    def look(self, now: float) -> None:
        """Find those that have fallen silent."""
        for member in self._members.values():
            silent = now - member.heard
            if member.removed_at is not None and now - member.removed_at > REMOVED_SECS:
                member.gone = "removed"
            if not member.gone and silent > BEATS_MISSED * member.lease.beat_secs:
                _go(member, "lost")
                log.warning("node %s is lost: silent for %.1f s", member.name, silent)
                self._note("cluster_lost", {"node": member.name, "silent_secs": round(silent, 3)})

    def snapshot(self) -> tuple[WorkerSnapshot, ...]:
        """All workers of all nodes."""
        return tuple(_snapshots(self._members.values()))


def worker_id(node: str, worker: str) -> WorkerId:
    """`cluster/node7.cpu2`."""
    return WorkerId(NAME, f"{node}.{worker}")


def _lose(member: _Member, there: Collection[str]) -> None:
    """Miners that are in the node's beats no more: shown as lost, or not any more if they did nothing."""
    for name in member.workers.keys() - there:
        counted = member.workers[name]
        if counted.now.done or counted.hashes_before or counted.credited_before:
            counted.now = replace(counted.now, state="lost", rate_hps=0.0)
        else:
            del member.workers[name]


def _go(member: _Member, gone: str) -> None:
    member.gone, member.gone_at = gone, time.time()


def _snapshots(members: Iterable[_Member]) -> Iterator[WorkerSnapshot]:
    for member in members:
        for counted in member.workers.values():
            now = counted.now
            yield WorkerSnapshot(
                worker=worker_id(member.name, now.name),
                state=member.gone or now.state,
                hashes_counted=counted.hashes_before + now.hashes,
                hashes_credited=counted.credited_before + now.credited,
                rate_hps=0.0 if member.gone else now.rate_hps,
                shares=counted.shares_before + now.shares,
                kernel=now.kernel,
                temperature_c=now.millidegrees / 1000 or None,
                gone_at=member.gone_at if member.gone else None,
            )
