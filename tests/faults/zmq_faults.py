"""ZMQ is silent, repeats, reorders or leaves out, while others mine: the poll behind it finds every tip."""

from __future__ import annotations

from functools import partial

from regtest.scenarios import mine_blocks
from tests.faults.case import case
from tests.faults.rig import World
from tests.faults.zmq_proxy import ZmqMode

FOLLOW_SECS = 5.0  # a poll interval and what a busy machine adds


def _misbehaves(world: World, mode: ZmqMode) -> None:
    world.mine()
    world.bench.left.zmq(mode)
    for _ in range(world.rng.randint(2, 4)):
        since = len(world.daemon.lines)
        *_, tip = mine_blocks(world.bench.left.node, world.rng.randint(1, 3))
        height = int(world.bench.left.node.call("getblockheader", tip)["height"])
        pattern = rf"mining job \d+ at height ({'|'.join(str(height + ahead) for ahead in range(1, 60))}) "
        world.daemon.wait_lines(pattern, since=since, timeout_secs=FOLLOW_SECS)
        world.nap(0.0, 0.3)


for _mode, _word in {
    ZmqMode.SILENT: "silent",
    ZmqMode.DOUBLED: "every message twice",
    ZmqMode.SWAPPED: "out of order",
    ZmqMode.GAPS: "with gaps",
}.items():
    case(f"zmq: {_word}")(partial(_misbehaves, mode=_mode))
