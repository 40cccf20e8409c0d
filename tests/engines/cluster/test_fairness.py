"""A node that sends without end, on a real server: it is heard less, and no other waits behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from solominer.engines.cluster import subjects
from solominer.engines.cluster.fairness import MOST_AT_ONCE, Fairness
from solominer.engines.cluster.messages import JoinRequest, ShareMessage
from solominer.engines.cluster.streams import MOST_OF_A_NODE
from solominer.setup.cluster.folder import ClusterFolder
from tests.engines.cluster.rig import SPACE, Head, head, next_job, node, searches, too_hard, until
from tests.engines.cluster.server import made, node_of, running
from tests.work.builders import mining


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterFolder]:
    """A running server with two nodes, after which a head looks often."""
    monkeypatch.setattr("solominer.engines.cluster.engine.LOOK_SECS", 0.05)
    folder = made(tmp_path, ["n1", "n2"])
    with running(folder):
        yield folder


async def test_a_node_that_sends_without_end_is_heard_less_and_no_other_waits(
    cluster: ClusterFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its beats and shares are not heard directly; on the server they have room of their own, and stay there."""
    monkeypatch.setattr("solominer.engines.cluster.fairness.PER_SEC", 1.0)  # less than any disk takes
    _, job = mining()
    async with head(cluster) as h, node(cluster, "n1"), node(cluster, "n2") as n:
        h.engine.publish(too_hard(job), clean=True)
        await until(lambda: len(h.engine.nodes) == 2 and searches(n, 1))
        thief, run = await node_of(cluster, "n1"), h.engine._run
        junk = ShareMessage(run, job.job_id, bytes(12), 1 << 29, 0, 0, True, "cpu0", "hashlib").pack()
        for number in range(6 * MOST_OF_A_NODE):
            await thief.publish(subjects.share_subject("n1"), junk)
            if number % 500 == 0:
                await thief.flush()
        await until(lambda: "n1" in h.engine._fairness._muted)
        h.engine.publish(next_job(job, 2), clean=True)
        await until(lambda: "n2.cpu0" in {share.worker.name for share in h.shares})
        async with asyncio.timeout(100):
            while (kept := await h.unjudged()) <= 100:
                await asyncio.sleep(0.02)
        assert kept <= MOST_OF_A_NODE + len(h.shares)
        await thief.close()
    assert caplog.text.count("n1 sends without end: what it sends waits") == 1


async def test_requests_to_join_without_end_are_not_sent_to_the_head_and_others_join(
    cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server keeps those of this node from the head's connection, and of no other, also a new one."""
    async with head(cluster) as h:
        thief, other = await node_of(cluster, "n1"), await node_of(cluster, "n2")
        request = JoinRequest(bytes(16), "regtest", "test").pack()
        for _ in range(2 * int(MOST_AT_ONCE)):
            await thief.publish(subjects.JOIN, request)
        heard = h.engine._fairness._joins._heard
        await until(lambda: set(heard) == {"solo.join.n2"})
        with pytest.raises(NoRespondersError):
            await thief.request(subjects.JOIN, request)
        cluster.add("n3")
        await until(lambda: "solo.join.n3" in heard)
        assert await other.request(subjects.JOIN, request, timeout=5)
        monkeypatch.setattr("solominer.engines.cluster.fairness.LATER_SECS", 0.0)
        await until(lambda: set(heard) == {subjects.ALL_JOINS})
        assert await thief.request(subjects.JOIN, request, timeout=5)
        await thief.close()
        await other.close()


async def test_a_node_that_was_muted_is_heard_again(cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.engines.cluster.fairness.LATER_SECS", 0.0)
    async with head(cluster) as h, node(cluster, "n1") as n:
        h.engine.publish(too_hard(mining()[1]), clean=True)
        await until(lambda: searches(n, 1))
        fairness = h.engine._fairness
        while "n1" not in fairness._muted:
            fairness.answer("n1", is_from_stream=False)
        await until(lambda: not fairness._muted)
        heard = next(iter(fairness._direct["n1"])).delivered
        await until(lambda: fairness._direct["n1"][1].delivered > heard)


async def test_nobody_joins_before_the_run_has_begun(cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head looks after its nodes each second, also while the server cannot give it its streams."""
    looked = asyncio.Event()

    async def no_streams(*_: object) -> None:
        await looked.wait()
        raise NoRespondersError

    async def look(self: Fairness, client: Client) -> None:
        await original(self, client)
        looked.set()

    original = Fairness.look
    monkeypatch.setattr(Fairness, "look", look)
    monkeypatch.setattr("solominer.engines.cluster.engine.make_streams", no_streams)
    h = Head(cluster)
    await h.engine.start(h.post, SPACE)
    await looked.wait()
    assert not h.engine._fairness._joins._heard
    await h.engine.stop(1.0)
