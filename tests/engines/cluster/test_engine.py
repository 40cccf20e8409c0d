"""A head and its nodes on a real server: jobs reach the nodes, shares reach the judge, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from solominer.setup.cluster.folder import ClusterFolder
from solominer.work.workers import WorkerId
from tests.engines.cluster.rig import SPACE, head, next_job, node, until
from tests.engines.cluster.server import made, running
from tests.work.builders import mining


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterFolder]:
    """A running server with two nodes."""
    folder = made(tmp_path, ["n1", "n2"])
    with running(folder):
        yield folder


async def test_a_node_hashes_the_job_and_its_shares_are_judged_once_and_forgotten(cluster: ClusterFolder) -> None:
    _, job = mining()
    async with head(cluster) as h, node(cluster, "n1") as n:
        h.engine.publish(job, clean=True)
        await until(lambda: h.shares)
        share = h.shares[0]
        assert (share.worker, share.job_id, share.is_block) == (WorkerId("cluster", "n1.cpu0"), job.job_id, True)
        assert share.extranonce[:4] in SPACE
        assert share.extranonce[4:8] == job.salt
        header = job.header(share.extranonce, share.version, share.ntime, share.nonce)
        assert int.from_bytes(header.hash_le(), "little") <= job.template.target
        h.engine.publish(next_job(job, 2), clean=False)
        await until(lambda: {each.job_id for each in h.shares} == {1, 2})
        await until(lambda: not len(n.spool))
        while await h.unjudged():
            pass
        keys = [(each.extranonce, each.version, each.nonce) for each in h.shares]
        assert len(keys) == len(set(keys))
        assert [kind for kind, _ in h.notes] == ["cluster_lease"]
        await until(lambda: h.engine.snapshot().hashes)
