"""The node is killed before, during and after submitblock, and forgets what it said it had (rule S2)."""

from __future__ import annotations

import time

from tests.faults.case import case
from tests.faults.rig import World
from tests.faults.rpc_proxy import Fault, Kind


def _kill_node(world: World) -> None:
    world.bench.left.node.kill()


def _restart_node(world: World) -> None:
    world.nap(0.0, 1.0)
    world.bench.left.node.start()


@case("node: kill -9 before it gets the block")
def killed_before(world: World) -> None:
    world.mine()
    fault = Fault(Kind.RESET, "submitblock", before=lambda: _kill_node(world))
    world.bench.left.rpc.set(fault)
    world.until(lambda: fault.hits > 0)
    world.until(lambda: not world.bench.left.node.is_running())
    _restart_node(world)


@case("node: kill -9 while it checks the block")
def killed_during(world: World) -> None:
    world.mine()
    delay_secs = world.rng.uniform(0.0, 0.004)

    def strike() -> None:
        time.sleep(delay_secs)
        _kill_node(world)

    world.bench.left.rpc.set(Fault(Kind.PASS, "submitblock", before=lambda: world.later(strike)))
    world.until(lambda: not world.bench.left.node.is_running())
    _restart_node(world)


@case("node: kill -9 right after null, which it then forgets")
def killed_after_null(world: World) -> None:
    world.mine()
    world.bench.left.rpc.set(Fault(Kind.PASS, "submitblock", after=lambda: _kill_node(world)))
    world.until(lambda: not world.bench.left.node.is_running())
    _restart_node(world)


@case("node: kill -9 some blocks later, which it then forgets")
def killed_blocks_later(world: World) -> None:
    world.mine()
    world.more(world.rng.randint(2, 6))
    _kill_node(world)
    _restart_node(world)


@case("node: kill -9 and back before anybody notices")
def killed_and_back(world: World) -> None:
    world.mine()
    world.more(world.rng.randint(1, 4))
    _kill_node(world)
    world.bench.left.node.start()


@case("node: power cut for node and daemon together")
def power_cut(world: World) -> None:
    world.mine()

    def strike() -> None:
        world.daemon.kill()
        _kill_node(world)

    world.bench.left.rpc.set(Fault(Kind.PASS, "submitblock", after=strike))
    world.daemon.wait_end()


@case("node: power cut, and the daemon is back before the node")
def power_cut_daemon_first(world: World) -> None:
    power_cut(world)
    world.daemon.start()
    world.nap(1.0, 2.0)
    world.bench.left.node.start()


@case("node: clean restart")
def restarted(world: World) -> None:
    world.mine()
    world.bench.left.node.stop()
    _restart_node(world)


@case("node: away until the workers stop")
def away_for_long(world: World) -> None:
    world.mine()
    world.bench.left.node.stop()
    world.daemon.wait_lines("no-node", timeout_secs=10)
    world.nap(3.0, 4.0)
