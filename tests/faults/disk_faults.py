"""The disk is full, broken or slow, and files of the journal are torn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.faults.case import case
from tests.faults.launch import FSYNC_FAILS, FSYNC_IS_SLOW, NO_SUBMISSIONS
from tests.faults.node_faults import power_cut
from tests.faults.rig import World


@case("disk: full for a while, no second place")
def full(world: World) -> None:
    """Submission goes on from memory; what was found meanwhile is written down when there is room."""
    world.mine()
    world.daemon.limit_file_size(0)
    world.more(world.rng.randint(1, 3))
    world.daemon.wait_lines("CRITICAL block [0-9a-f]+ is not on disk")  # the first ones may have been kept just before
    world.daemon.lift_file_size()
    world.daemon.wait_lines("is on disk now")


def _no_first_place(world: World) -> None:
    world.daemon.set_control(disk=NO_SUBMISSIONS)
    world.daemon.start()
    world.daemon.wait_lines("journal-fallback")


@case("disk: the first place broken, the journal in the second, kill -9", fallback=True)
def second_place(world: World) -> None:
    _no_first_place(world)
    world.at_hit(lambda _hash, _height: world.daemon.kill())
    world.daemon.wait_end()


@case("disk: the first place broken, SIGTERM", fallback=True)
def second_place_and_end(world: World) -> None:
    _no_first_place(world)
    world.more(1)
    world.daemon.terminate()
    world.expect_end(0)


def _fsync(world: World, state: int) -> None:
    world.mine()
    world.daemon.set_control(disk=state)
    world.more(world.rng.randint(1, 3))
    world.daemon.set_control()


case("disk: every fsync fails for a while")(partial(_fsync, state=FSYNC_FAILS))
case("disk: every fsync takes a second for a while")(partial(_fsync, state=FSYNC_IS_SLOW))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _remove(path: Path) -> None:
    path.unlink()


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _torn(world: World, name: str, tear: Callable[[Path], None]) -> None:
    """After a power cut for node and daemon one kind of file is torn in every folder of the journal."""
    power_cut(world)
    for path in world.data_dir.rglob(f"submissions/**/{name}"):
        tear(path)


for _tear, _word in {_cut: "cut off", _remove: "gone", _zero: "zeroes"}.items():
    for _name in ("facts.json", "states.jsonl", "submissions.jsonl"):
        case(f"journal: {_name} {_word} after a power cut")(partial(_torn, name=_name, tear=_tear))


@case("journal: block.hex cut off after a power cut, the block without transactions", transactions=False)
def torn_block(world: World) -> None:
    _torn(world, "block.hex", _cut)
