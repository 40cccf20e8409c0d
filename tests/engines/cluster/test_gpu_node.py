"""A node with a graphics card, which is PoCL here: its shares reach the head."""

from __future__ import annotations

from pathlib import Path

from solominer.engines.gpu.engine import GpuEngine, GpuSettings
from solominer.work.workers import WorkerId
from tests.engines.cluster.rig import head, node, until
from tests.engines.cluster.server import made, running
from tests.engines.gpu.pocl import CACHE, NAMES, pocl
from tests.fakes import real_clock
from tests.work.builders import mining


async def test_what_a_card_finds_is_judged_and_its_hashes_are_told(tmp_path: Path) -> None:
    settings = GpuSettings((pocl().index,), NAMES[0], cpus=True, alone=True, cache_dir=CACHE)
    _, job = mining()
    folder = made(tmp_path, ["n1"])
    with running(folder):
        async with head(folder) as h, node(folder, "n1", GpuEngine(settings, real_clock)):
            h.engine.publish(job, clean=True)
            await until(lambda: h.shares and h.engine.snapshot().hashes, 60)
    share = h.shares[0]
    assert (share.worker, share.kernel, share.is_block) == (WorkerId("cluster", "n1.gpu0"), NAMES[0], True)
    (seen,) = h.engine.snapshot().workers
    assert seen.worker == share.worker
