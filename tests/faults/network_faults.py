"""The way to the node fails, in every manner, for the submission alone or for everything."""

from __future__ import annotations

from functools import partial

from tests.faults.case import case
from tests.faults.rig import World
from tests.faults.rpc_proxy import Fault, Kind

_WORDS = {
    Kind.RESET: "reset before the node sees it",
    Kind.ANSWER_LOST: "done by the node, its answer lost",
    Kind.HALF_REPLY: "half a reply",
    Kind.NEVER: "swallowed, no reply ever",
    Kind.ANSWER_NEVER: "done by the node, no reply ever",
    Kind.HTTP_401: "HTTP 401",
    Kind.HTTP_500: "HTTP 500 without JSON",
    Kind.HTTP_503: "HTTP 503",
    Kind.WARM_UP: "warm-up, -28",
    Kind.GARBAGE: "broken JSON",
}


def _submission_fails(world: World, kind: Kind) -> None:
    """The next one to three submissions, and look-ups too where chance says so."""
    world.mine()
    times = world.rng.randint(1, 3)
    submissions = Fault(kind, "submitblock", times=times)
    look_ups = Fault(kind, "getblockheader", times=world.rng.choice([0, 2]))
    world.bench.left.rpc.set(submissions, look_ups)
    world.until(lambda: submissions.hits >= times)


def _everything_fails(world: World, kind: Kind) -> None:
    world.mine()
    world.bench.left.rpc.set(Fault(kind, times=None))
    world.nap(0.2, 2.0)


for _kind, _text in _WORDS.items():
    case(f"submitblock: {_text}")(partial(_submission_fails, kind=_kind))
    case(f"every call: {_text}")(partial(_everything_fails, kind=_kind))


@case("every call: connection refused at the hit")
def refused_at_hit(world: World) -> None:
    world.mine()
    world.at_hit(lambda _hash, _height: world.bench.left.rpc.refuse())
    world.until(lambda: not world.bench.left.rpc.is_listening)
    world.nap(0.2, 2.0)


@case("every call: connection refused from the start")
def refused_at_start(world: World) -> None:
    world.bench.left.rpc.refuse()
    world.daemon.start()
    world.nap(1.0, 3.0)


@case("every call: a storm of all of them")
def storm(world: World) -> None:
    world.mine()
    for _ in range(world.rng.randint(3, 6)):
        kind = world.rng.choice(list(_WORDS))
        method = world.rng.choice([None, "submitblock", "getblocktemplate", "getbestblockhash", "getblockheader"])
        world.bench.left.rpc.set(Fault(kind, method, times=None))
        world.nap(0.1, 0.5)
        world.bench.left.rpc.set()
        world.nap(0.0, 0.2)
