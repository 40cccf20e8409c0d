"""The daemon or its workers are killed, at every step between a hit and its confirmation, or told to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tests.faults.case import case
from tests.faults.rig import World
from tests.faults.rpc_proxy import Fault, Kind

_FILE_SECS = 2.0


@case("daemon: kill -9 at the hit")
def killed_at_hit(world: World) -> None:
    world.mine()
    world.at_hit(lambda _hash, _height: world.daemon.kill())
    world.daemon.wait_end()


def _killed_at_file(world: World, name: str) -> None:
    """Kill it in the moment in which a file of the journal appears."""
    world.mine()

    def watch(hash_hex: str, _height: int) -> None:
        deadline = time.monotonic() + _FILE_SECS
        while time.monotonic() < deadline:
            folder = world.journal_folder(hash_hex)
            if folder is not None and (folder / name).exists():
                break
        world.daemon.kill()

    world.at_hit(watch)
    world.daemon.wait_end()


for _name in ("", "block.hex", "facts.json", "states.jsonl", "submissions.jsonl"):
    case(f"daemon: kill -9 when {_name or 'the folder'} appears")(partial(_killed_at_file, name=_name))


@case("daemon: kill -9 before the node gets the block")
def killed_before_submit(world: World) -> None:
    world.mine()
    world.bench.left.rpc.set(Fault(Kind.RESET, "submitblock", before=world.daemon.kill))
    world.daemon.wait_end()


@case("daemon: kill -9 while the node checks the block")
def killed_during_submit(world: World) -> None:
    world.mine()
    world.bench.left.rpc.set(Fault(Kind.PASS, "submitblock", before=world.daemon.kill))
    world.daemon.wait_end()


@case("daemon: kill -9 before it has the answer")
def killed_before_answer(world: World) -> None:
    world.mine()
    world.bench.left.rpc.set(Fault(Kind.PASS, "submitblock", after=world.daemon.kill))
    world.daemon.wait_end()


@case("daemon: kill -9 at the acceptance")
def killed_at_acceptance(world: World) -> None:
    world.mine()
    world.at_line("is accepted", world.daemon.kill)
    world.daemon.wait_end()


@case("daemon: kill -9 at a random time")
def killed_any_time(world: World) -> None:
    world.mine()
    world.nap(0.0, 0.3)
    world.daemon.kill()
    world.daemon.wait_end()


@case("daemon: kill -9 twice, the second time at the replay")
def killed_twice(world: World) -> None:
    world.mine()
    world.bench.left.rpc.set(Fault(Kind.RESET, "submitblock", before=world.daemon.kill))
    world.daemon.wait_end()
    world.at_line("still tracking block", world.daemon.kill)
    world.daemon.start()
    world.daemon.wait_end()


@case("daemon: kill -9 at the hit while the node is away")
def killed_with_node_away(world: World) -> None:
    world.mine()
    rpc = world.bench.left.rpc

    def strike() -> None:
        world.daemon.kill()
        rpc.refuse()

    rpc.set(Fault(Kind.RESET, "submitblock", before=lambda: world.later(strike)))
    world.daemon.wait_end()
    world.daemon.start()
    world.nap(0.8, 2.0)


@case("daemon: SIGTERM at the hit")
def terminated_at_hit(world: World) -> None:
    world.mine()
    world.at_hit(lambda _hash, _height: world.daemon.terminate())
    world.expect_end(0)


@case("daemon: SIGTERM at a random time")
def terminated_any_time(world: World) -> None:
    world.mine()
    world.nap(0.0, 0.3)
    world.daemon.terminate()
    world.expect_end(0)


@case("daemon: SIGTERM while the node is silent about a block")
def terminated_while_submitting(world: World) -> None:
    world.mine()
    first = Fault(Kind.NEVER, "submitblock", before=world.daemon.terminate)  # once: a second signal ends it at once
    world.bench.left.rpc.set(first, Fault(Kind.NEVER, "submitblock", times=None))
    world.expect_end(0)


@case("daemon: a second signal at the hit")
def interrupted_twice(world: World) -> None:
    world.mine()
    world.bench.left.rpc.set(Fault(Kind.NEVER, "submitblock", times=None, before=world.daemon.terminate))
    world.at_line("repeat to exit immediately", world.daemon.terminate)
    world.expect_end(130)


def _workers_killed(world: World, choose: Callable[[list[int]], list[int]]) -> None:
    world.mine()
    world.nap(0.0, 0.1)
    for pid in choose(world.daemon.workers()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    world.daemon.wait_lines("worker-died", timeout_secs=5)
    world.nap(0.0, 1.0)


@case("worker: kill -9 of one")
def worker_killed(world: World) -> None:
    _workers_killed(world, lambda pids: [world.rng.choice(pids)])


@case("worker: kill -9 of all")
def workers_killed(world: World) -> None:
    _workers_killed(world, lambda pids: pids)


@case("worker: kill -9 at the hit")
def worker_killed_at_hit(world: World) -> None:
    world.mine()

    def strike(_hash: str, _height: int) -> None:
        for pid in world.daemon.workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    world.at_hit(strike)
    world.daemon.wait_lines("worker-died", timeout_secs=5)
