"""The chain itself moves: rival blocks, reorganizations past our block and back, nodes that disagree, clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from regtest.scenarios import mine_blocks, reorganize, same_height_reorg
from solominer.errors import SolominerError
from tests.faults.case import case
from tests.faults.rig import World
from tests.faults.rpc_proxy import Fault, Kind

TWO_HOURS = 7200
NEARLY_TWO_HOURS = TWO_HOURS - 120  # beyond that a node finds its own chain too new, and can make no template at all


@case("chain: a rival block gets there first")
def rival_first(world: World) -> None:
    world.mine()
    node = world.bench.left.node
    rivals = world.rng.randint(1, 2)
    fault = Fault(Kind.PASS, "submitblock", before=lambda: _quietly(lambda: mine_blocks(node, rivals)))
    world.bench.left.rpc.set(fault)
    world.until(lambda: fault.hits > 0)


@case("chain: reorganized past our blocks")
def reorganized(world: World) -> None:
    world.mine(3)
    world.pause_chain()
    reorganize(world.bench.left.node, world.rng.randint(1, 3))
    world.resume_chain()


@case("chain: another tip at the same height")
def same_height(world: World) -> None:
    world.mine(2)
    world.pause_chain()
    same_height_reorg(world.bench.left.node)
    world.resume_chain()


@case("chain: reorganized past our blocks and back again")
def reorganized_and_back(world: World) -> None:
    world.mine(3)
    world.pause_chain()
    node = world.bench.left.node
    ours = str(node.call("getbestblockhash"))
    depth = world.rng.randint(1, 3)
    rival = reorganize(node, depth)
    world.resume_chain()
    world.more(1)
    world.pause_chain()
    fork = str(node.call("getblockhash", int(node.call("getblockheader", rival)["height"]) - depth))
    node.call("invalidateblock", fork)
    # A block that was held back meanwhile may have come on top of ours since.
    assert node.call("getblockheader", ours)["confirmations"] >= 1
    longer = int(node.call("getblockheader", rival)["height"]) - int(node.call("getblockcount")) + 3
    mine_blocks(node, longer)
    node.call("reconsiderblock", fork)
    world.resume_chain()


@case("two nodes: on different tips", nodes=2)
def different_tips(world: World) -> None:
    world.mine()
    world.bench.cut()
    mine_blocks(world.bench.right.node, world.rng.randint(1, 3))
    world.nap(0.2, 0.8)
    mine_blocks(world.bench.left.node, world.rng.randint(1, 3))
    world.nap(0.2, 0.8)


@case("two nodes: partition, blocks reach one only, and heal", nodes=2)
def partition(world: World) -> None:
    world.mine()
    world.bench.cut()
    cut_off = world.rng.choice(world.bench.sites)
    cut_off.rpc.refuse()
    world.nap(0.2, 1.0)
    mine_blocks(cut_off.node, world.rng.randint(1, 2))
    world.more(2)


@case("two nodes: the preferred one is killed", nodes=2)
def preferred_killed(world: World) -> None:
    world.mine()
    world.bench.left.node.kill()
    world.more(2)
    world.bench.left.node.start()


@case("two nodes: the preferred one hangs", nodes=2)
def preferred_hangs(world: World) -> None:
    world.mine()
    world.bench.left.rpc.set(Fault(Kind.NEVER, times=None))
    world.more(1)


@case("two nodes: the preferred one is killed right after null", nodes=2)
def preferred_forgets(world: World) -> None:
    world.mine()
    left, right = world.bench.sites
    right.rpc.refuse()  # so that nobody else has it
    left.rpc.set(Fault(Kind.PASS, "submitblock", after=left.node.kill))
    world.until(lambda: not left.node.is_running())
    right.rpc.accept()
    world.more(1)


@case("two nodes: one rejects every connection for long", nodes=2)
def second_refuses(world: World) -> None:
    world.bench.right.rpc.refuse()
    world.mine(3)


def _clock_moves(world: World, secs: float) -> None:
    world.mine()
    hits = Fault(Kind.RESET, "submitblock", times=1)  # so that a retry is due when the clock moves
    world.bench.left.rpc.set(hits)
    world.until(lambda: hits.hits > 0)
    world.daemon.set_control(clock_offset_secs=secs)
    world.more(2)
    world.daemon.set_control()


@case("clock: ours two hours ahead and back")
def our_clock_ahead(world: World) -> None:
    _clock_moves(world, TWO_HOURS)


@case("clock: ours two hours behind and back")
def our_clock_behind(world: World) -> None:
    _clock_moves(world, -TWO_HOURS)


@case("clock: ours wrong from the start")
def our_clock_wrong(world: World) -> None:
    world.daemon.set_control(clock_offset_secs=world.rng.choice([-TWO_HOURS, TWO_HOURS]))
    world.mine(2)
    world.daemon.set_control()


def _node_clock_moves(world: World, secs: int) -> None:
    world.mine()
    world.bench.left.node.call("setmocktime", int(time.time()) + secs)
    world.more(2)
    world.bench.left.node.call("setmocktime", 0)


@case("clock: the node's two hours ahead and back", spoils=True)
def node_clock_ahead(world: World) -> None:
    _node_clock_moves(world, NEARLY_TWO_HOURS)


@case("clock: the node's two hours behind and back", spoils=True)
def node_clock_behind(world: World) -> None:
    _node_clock_moves(world, -NEARLY_TWO_HOURS)


@case(
    "clock: the node's goes back under a block, which is too new until it has caught up",
    spoils=True,
    templates_first=True,
)
def too_new(world: World) -> None:
    node = world.bench.left.node
    world.mine()
    now = int(time.time())
    node.call("setmocktime", now + TWO_HOURS)
    world.more(1)
    back = Fault(Kind.PASS, "submitblock", before=lambda: _quietly(lambda: node.call("setmocktime", now - 60)))
    world.bench.left.rpc.set(back)
    world.until(lambda: back.hits > 0)
    world.until(lambda: world.was_answered("time-too-new"))
    world.nap(0.5, 1.0)
    node.call("setmocktime", now + TWO_HOURS)
    world.more(1)


def _quietly(act: Callable[[], object]) -> None:
    """In a proxy's thread: a node that cannot do it now leaves the chain as it is, as the run's end shows."""
    with suppress(SolominerError):
        act()
