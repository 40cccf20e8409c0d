"""Small real things for tests of work/: templates, jobs, and a coordinator with a network that is easy to solve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from solominer.chain.hashes import hash_to_int
from solominer.chain.networks import REGTEST, Network
from solominer.work.actions import Action, PublishJob
from solominer.work.coordinator import Coordinator
from solominer.work.events import Event, HealthSeen, NodeHealth, ShareFound, TemplateReady
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.payout import Payout
from solominer.work.policy import Policy
from solominer.work.template import Template, empty_template, parse_template
from solominer.work.workers import WorkerId
from tests.data import load

PAYOUT = Payout(bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6"), "bcrt1-test")
T = TypeVar("T")
WALL = 1_795_218_000.0
"""When tests happen, in Unix seconds."""

T0 = Instant(WALL, 5_000.0)


def real_reply() -> dict[str, Any]:
    """A fresh copy of a template that a real regtest node gave: height 261, 27 transactions."""
    reply: dict[str, Any] = load("template_and_block")["gbt"]
    return reply


def real_template() -> Template:
    """The same, parsed."""
    return parse_template(real_reply(), REGTEST)


def tip(number: int) -> bytes:
    """A hash to serve as a tip."""
    return bytes([number]) * 32


def template_on(parent: bytes, height: int, network: Network = REGTEST, *, curtime: int = int(WALL)) -> Template:
    """A template without transactions."""
    template = empty_template(
        network,
        height=height,
        prevhash_le=parent,
        version=0x20000000,
        version_mask=0x1FFFE000,
        nbits=0x207FFFFF if network is REGTEST else 0x170240C3,
        curtime=curtime,
        mintime=curtime - 3600,
    )
    return replace(template, provisional=False)


def health(
    node: str = "a", *, best: bytes = b"", work: int = 1, problem: str = "", reachable: bool = True
) -> NodeHealth:
    """A look at a node; tip(1) has height 260, tip(2) 261, ..."""
    height = 259 + best[0] if len(set(best)) == 1 else 260
    return NodeHealth(node, reachable, problem, height=height, best_hash_le=best, chainwork=work)


def coordinator(*nodes: str, network: Network = REGTEST, policy: Policy | None = None) -> Coordinator:
    """A coordinator that knows `nodes` (one called a if none is given)."""
    return Coordinator(network, list(nodes or ("a",)), PAYOUT, b"/test/", policy or Policy(), b"\x01\x02")


def feed(machine: Coordinator, *events: Event) -> list[Action]:
    """All actions of all events, in order."""
    return [action for event in events for action in machine.handle(event)]


def of_type(kind: type[T], actions: list[Action]) -> list[T]:
    """The actions of one type."""
    return [action for action in actions if isinstance(action, kind)]


def mining(
    network: Network = REGTEST, policy: Policy | None = None, nodes: tuple[str, ...] = ("a",)
) -> tuple[Coordinator, Job]:
    """A coordinator that mines at height 261 on tip 1, and its job."""
    machine = coordinator(*nodes, network=network, policy=policy)
    events: list[Event] = [HealthSeen(T0, health(name, best=tip(1))) for name in nodes]
    actions = feed(machine, *events, TemplateReady(T0, nodes[0], template_on(tip(1), 261, network)))
    return machine, of_type(PublishJob, actions)[-1].job


def solution(job: Job, *, at: Instant = T0 + 1, solves: bool = True, start: int = 0) -> ShareFound:
    """A share of `job` that meets (or misses) its network target; only for regtest's easy one."""
    for nonce in range(start, start + 10_000):
        header = job.header(job.extranonce(), job.space.version, job.space.ntime_min, nonce)
        if (hash_to_int(header.hash_le()) <= job.template.target) is solves:
            where = (job.extranonce(), job.space.version, job.space.ntime_min, nonce)
            return ShareFound(at, WorkerId("cpu", "0"), job.job_id, *where, kernel="reference")
    raise AssertionError("no such nonce")


def harder(job: Job) -> Job:
    """The same job with a network target that nothing meets."""
    return replace(job, template=replace(job.template, target=1), share_target=(1 << 255) - 1)
