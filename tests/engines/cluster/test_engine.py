"""A head and its nodes on a real server: jobs reach the nodes, shares reach the judge, once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from nats.aio.client import Client

from solominer.engines.cluster import subjects
from solominer.engines.cluster.messages import Notice, ShareMessage
from solominer.engines.cluster.node import Node
from solominer.engines.cluster.streams import MOST_OF_A_NODE, MOST_SHARE_BYTES, REPEAT_SECS, make_streams
from solominer.records.ledger.recent_shares import Nonces
from solominer.setup.cluster.folder import ClusterFolder
from solominer.work.events import JobRestored
from solominer.work.workers import WorkerId
from tests.engines.cluster.rig import SPACE, Head, head, new_node, next_job, node, searches, too_hard, until
from tests.engines.cluster.server import head_of, made, node_of, running
from tests.work.builders import PAYOUT, mining, tip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterFolder]:
    """A running server with two nodes."""
    folder = made(tmp_path, ["n1", "n2"])
    with running(folder):
        yield folder


def applied(n: Node, h: Head, number: int) -> bool:
    """Whether a node has done what this message of the run says."""
    return n._applied == (h.engine._run, number)


async def forgotten(h: Head) -> None:
    """Until the server keeps no share."""
    async with asyncio.timeout(100):
        while await h.unjudged():
            await asyncio.sleep(0.01)


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
        await forgotten(h)
        keys = [(each.extranonce, each.version, each.nonce) for each in h.shares]
        assert len(keys) == len(set(keys))
        assert [kind for kind, _ in h.notes] == ["cluster_lease"]
        await until(lambda: h.engine.snapshot().hashes)


async def test_a_node_that_comes_late_begins_with_the_newest_job_and_stops_with_the_head(
    cluster: ClusterFolder,
) -> None:
    _, job = mining()
    async with head(cluster) as h:
        for job_id in (1, 2, 3):
            h.engine.publish(too_hard(next_job(job, job_id)), clean=False)
        async with node(cluster, "n1") as n:
            await until(lambda: searches(n, 3))
            h.engine.stop_work()
            await until(lambda: searches(n, None))
            async with node(cluster, "n2") as late:
                h.engine.publish(too_hard(next_job(job, 4)), clean=False)
                await until(lambda: searches(n, 4) and searches(late, 4))
            assert n.status == "hashing job 4"


async def test_a_head_that_begins_later_is_joined_and_one_that_ends_stops_its_nodes(cluster: ClusterFolder) -> None:
    _, job = mining()
    async with node(cluster, "n1") as n:
        await until(lambda: n._client)
        assert n.status == "waiting for a job"
        async with head(cluster) as h:
            h.engine.publish(too_hard(job), clean=True)
            await until(lambda: searches(n, 1))
        await until(lambda: searches(n, None))


async def test_nodes_hash_on_without_the_server_and_take_the_newest_job_when_it_is_back(tmp_path: Path) -> None:
    folder = made(tmp_path, ["n1"])
    _, job = mining()
    with running(folder) as server:
        head_context, node_context = head(folder), node(folder, "n1")
        h, n = await head_context.__aenter__(), await node_context.__aenter__()
        h.engine.publish(too_hard(job), clean=True)
        await until(lambda: searches(n, 1))
        server.kill()
        server.wait()
        await until(lambda: n._client is not None and not n._client.is_connected)
        before = n.workers[0].hashes_counted
        h.engine.publish(too_hard(next_job(job, 2)), clean=False)
        h.engine.publish(next_job(job, 3), clean=False)  # neither reaches anybody yet
        await until(lambda: n.workers[0].hashes_counted > before)
        assert searches(n, 1)
    with running(folder):
        await until(lambda: h.shares)
        assert searches(n, 3)
        assert {share.job_id for share in h.shares} == {3}
        await until(lambda: not len(n.spool))
        await node_context.__aexit__(None, None, None)
        await head_context.__aexit__(None, None, None)


async def test_what_is_found_while_the_head_is_away_is_judged_with_its_own_coinbase_by_the_next_one(
    cluster: ClusterFolder,
) -> None:
    _, job = mining()
    async with head(cluster, judges=False) as h, node(cluster, "n1") as n:
        h.engine.publish(job, clean=True)
        await until(lambda: h.shares)
        h.engine._replaced = True  # it goes like one that is killed: without a word
        await until(lambda: not len(n.spool))
        first = h.shares[0]
    async with head(cluster, recorded={Nonces.of(first)}) as h:
        (restored,) = [event for event in h.events if isinstance(event, JobRestored)]
        assert (restored.job_id, restored.template.prevhash_le) == (job.job_id, tip(1))
        await until(lambda: h.shares)  # a block that the disk does not have is handed in, whatever the ledger says
        share = h.shares[0]
        assert share.recorded, "it is not counted again"
        assert replace(share, at=first.at, coinbase=None, recorded=False) == first
        assert share.coinbase is not None
        assert job.with_coinbase(share.coinbase).coinbase.prefix == job.coinbase.prefix
        assert share.share_target == job.share_target
        await forgotten(h)


async def test_a_share_that_an_earlier_run_has_recorded_is_not_judged_again(cluster: ClusterFolder) -> None:
    _, job = mining()
    async with head(cluster, judges=False) as h, node(cluster, "n1") as n:
        h.engine.publish(job, clean=True)
        await until(lambda: h.shares)
        await until(lambda: not len(n.spool))
        h.engine._replaced = True
        share = h.shares[0]
    block = job.header(share.extranonce, share.version, share.ntime, share.nonce).hash_le()
    async with head(cluster, recorded={Nonces.of(share)}, blocks={block}) as h:
        await forgotten(h)
        assert h.shares == []


async def test_the_server_keeps_a_share_until_the_records_are_written(cluster: ClusterFolder) -> None:
    _, job = mining()
    async with head(cluster) as h, node(cluster, "n1") as n:
        h.writes = False
        h.engine.publish(job, clean=True)
        await until(lambda: h.shares and not h.engine._judged.waits)  # tried, in vain
        await until(lambda: not len(n.spool))  # the server has written it, too
        assert await h.unjudged() == 1
        h.writes = True
        await forgotten(h)
        assert len(h.shares) == 1


async def test_a_share_that_was_dropped_on_the_way_to_the_judge_is_handed_in_again(
    cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solominer.engines.cluster.judged.REPEAT_SECS", 0.5)
    _, job = mining()
    async with head(cluster, judges=False) as h, node(cluster, "n1"):
        h.engine.publish(job, clean=True)
        await until(lambda: len(h.shares) == 2)
        h.engine.share_judged(h.shares[1])
        await forgotten(h)


async def test_what_is_found_long_after_head_and_server_ended_outlives_the_node_too(tmp_path: Path) -> None:
    folder = made(tmp_path, ["n1"])
    _, job = mining()
    with running(folder):
        head_context, node_context = head(folder), node(folder, "n1")
        h, n = await head_context.__aenter__(), await node_context.__aenter__()
        h.engine.set_intensity(0.0)
        h.engine.publish(job, clean=True)
        await until(lambda: searches(n, 1))
        h.engine._replaced = True  # it ends without a word
        await head_context.__aexit__(None, None, None)
    await until(lambda: n._client is not None and not n._client.is_connected)
    for pool in n.pools:
        pool.set_intensity(1.0)
    await until(lambda: len(n.spool))
    await node_context.__aexit__(None, None, None)
    with running(folder):
        async with node(folder, "n1") as again, head(folder) as h:
            await until(lambda: h.shares)
            await until(lambda: not len(again.spool))
            assert [(share.job_id, share.is_block) for share in h.shares] == [(job.job_id, True)]


async def test_what_is_deleted_on_the_server_is_made_again_and_no_share_is_lost(
    cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("solominer.engines.cluster.engine.STREAMS_SECS", 0.3)
    monkeypatch.setattr("solominer.engines.cluster.node.SEND_SECS", 0.3)
    _, job = mining()
    async with head(cluster) as h, node(cluster, "n1") as n:
        take = h.engine._take

        def kept_alone(subject: str, data: bytes, reply: str) -> None:
            if reply:  # the head hears nothing directly
                take(subject, data, reply)

        monkeypatch.setattr(h.engine, "_take", kept_alone)
        assert h.engine._client is not None
        manager = h.engine._client.jsm()
        deletions = [
            partial(manager.delete_consumer, subjects.SHARE_STREAM, subjects.JUDGE),
            partial(manager.delete_stream, subjects.SHARE_STREAM),
            partial(manager.delete_stream, subjects.JOB_STREAM),
        ]
        for number, delete in enumerate(deletions, 1):
            await delete()
            h.engine.publish(next_job(job, number), clean=False)
            await until(partial(searches, n, number))
            await until(lambda: h.shares and h.shares[-1].job_id == number)  # noqa: B023 - it ends before the next one
            await until(lambda: not len(n.spool))
            await forgotten(h)
        assert [share.job_id for share in h.shares] == [1, 2, 3]
        assert caplog.text.count("the cluster's server has lost SHARES") == 2


async def test_a_job_that_pays_somebody_else_is_not_hashed(
    cluster: ClusterFolder, caplog: pytest.LogCaptureFixture
) -> None:
    _, job = mining()
    n = new_node(cluster, "n1", pays=(b"somebody else",))
    stop = asyncio.Event()
    working = asyncio.create_task(n.run(stop))
    async with head(cluster) as h:
        for job_id in (1, 2):
            h.engine.publish(next_job(job, job_id), clean=True)
            await until(partial(applied, n, h, job_id))
        assert not n.is_searching
        assert n.status == "refuses to hash, see above"
        assert f"satoshis to {PAYOUT.script_pubkey.hex()}, which is not in the join file" in caplog.text
        stop.set()
        await working
        assert h.shares == []


async def test_a_signed_chain_is_refused_with_the_reason(
    cluster: ClusterFolder, caplog: pytest.LogCaptureFixture
) -> None:
    _, job = mining()
    async with head(cluster) as h, node(cluster, "n1") as n:
        h.engine.publish(too_hard(job), clean=True)
        await until(lambda: searches(n, 1))
        for _ in range(2):
            h.engine.publish(replace(job, signed_extranonce=bytes(12)), clean=True)
        await until(lambda: searches(n, None))
        assert caplog.text.count("a cluster cannot work on it") == 1


async def test_intensity_and_notices_reach_the_nodes(cluster: ClusterFolder) -> None:
    _, job = mining()
    async with head(cluster) as h, node(cluster, "n1") as n:
        h.engine.publish(too_hard(job), clean=True)
        await until(lambda: searches(n, 1))
        h.engine.set_intensity(0.0)
        await until(lambda: n.workers[0].state == "paused")
        h.engine.set_intensity(1.0)
        await until(lambda: n.workers[0].state == "hashing")
        await until(lambda: [seen.state for seen in h.engine.snapshot().workers] == ["hashing"])
        assert list(h.engine.nodes) == ["n1"]
        h.engine.tell("n1", Notice.DRAIN)
        await until(n.drained.is_set)


async def test_a_daemon_that_begins_later_has_the_cluster_for_itself(
    cluster: ClusterFolder, caplog: pytest.LogCaptureFixture
) -> None:
    _, job = mining()
    async with head(cluster) as old, node(cluster, "n1") as n:
        old.engine.publish(too_hard(job), clean=True)
        await until(lambda: searches(n, 1))
        async with head(cluster) as new:
            assert new.engine._run > old.engine._run
            new.engine.publish(too_hard(next_job(job, 7)), clean=True)
            await until(lambda: searches(n, 7))
            await until(lambda: old.engine._replaced)
            old.engine.publish(too_hard(next_job(job, 8)), clean=True)
            new.engine.publish(too_hard(next_job(job, 9)), clean=True)
            await until(lambda: searches(n, 9))
            assert caplog.text.count("another daemon publishes jobs to this cluster") == 1


async def test_what_is_not_a_share_is_said_and_forgotten(
    cluster: ClusterFolder, caplog: pytest.LogCaptureFixture
) -> None:
    async with head(cluster) as h:
        client = await node_of(cluster, "n1")
        await client.jetstream().publish(subjects.share_subject("n1"), os.urandom(60))
        await client.publish(subjects.beat_subject("n1"), b"\1\3")
        await forgotten(h)
        reply = await client.request(subjects.JOIN, b"\7\7", timeout=5)
        assert b"a message of version 7" in reply.data
        await client.close()
    assert "node n1 sent something that is not a share" in caplog.text
    assert "node n1 cannot join" in caplog.text


async def test_a_stolen_node_that_sends_junk_takes_no_room_from_others(
    cluster: ClusterFolder, caplog: pytest.LogCaptureFixture
) -> None:
    _, job = mining()
    async with head(cluster) as h:
        h.engine.publish(too_hard(job), clean=True)
        await until(lambda: h.engine._jobs._own)
        thief = await node_of(cluster, "n1")
        subject, run = subjects.share_subject("n1"), h.engine._run
        for number in range(80):
            claimed = ShareMessage(run, job.job_id, bytes(12), 1 << 29, 0, number, True, "cpu0", "hashlib")
            unknown = replace(claimed, job_id=99, is_block=bool(number % 2))
            for data in (claimed.pack(), unknown.pack(), os.urandom(60)):
                await thief.publish(subject, data)
        await thief.flush()
        await until(lambda: len(h.notes) >= 3, 100)  # the server writes each of the 240, and then hands them out
        await forgotten(h)
        async with node(cluster, "n2"):
            h.engine.publish(next_job(job, 2), clean=True)
            await until(lambda: h.shares)
        assert {share.worker.name for share in h.shares} == {"n2.cpu0"}
        await thief.close()
    lines = [record for record in caplog.records if record.getMessage().startswith("node n1 ")]
    assert len(lines) <= 4, "one for each fault"
    assert "sent a share that is no work, for job 1 -> if that goes on: solominer cluster remove n1" in caplog.text
    kinds = [kind for kind, _ in h.notes]
    assert (kinds.count("share_misses_target"), kinds.count("share_of_unknown_job")) == (1, 2)


async def test_a_share_of_an_unknown_job_is_noted_and_forgotten(
    cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = mining()
    async with head(cluster) as h, node(cluster, "n1"):
        monkeypatch.setattr(h.engine._jobs, "job_of", lambda *arguments: None)
        h.engine.publish(job, clean=True)
        await until(lambda: ("share_of_unknown_job", {"worker": "cluster/n1.cpu0", "job": 1}) in h.notes)
        await forgotten(h)
        assert h.shares == []


async def test_a_share_for_a_newer_head_is_left_to_it(cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a head that was frozen, and hears of it before it hears that it was replaced."""
    seen: list[str] = []
    async with head(cluster) as h:
        unknown = h.engine._unknown

        def note(name: str, share: ShareMessage, reply: str) -> None:
            seen.append(reply)
            unknown(name, share, reply)

        monkeypatch.setattr(h.engine, "_unknown", note)
        share = ShareMessage(h.engine._run + 1, 1, bytes(12), 1 << 29, 0, 0, True, "cpu0", "hashlib")
        client = await node_of(cluster, "n1")
        await client.jetstream().publish(subjects.share_subject("n1"), share.pack())
        await client.close()
        await until(lambda: any(seen))
        await asyncio.sleep(0.05)
        assert (await h.unjudged(), h.notes) == (1, [])


async def test_a_node_stops_when_it_has_heard_nothing_for_too_long(
    cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("solominer.engines.cluster.engine.VALID_SECS", 0)
    monkeypatch.setattr(subjects, "BEAT_SECS", 0.05)
    _, job = mining()
    async with head(cluster) as h, node(cluster, "n1") as n:
        h.engine.publish(too_hard(job), clean=True)
        await until(lambda: "no news of the head" in caplog.text)
        assert searches(n, None)


async def test_a_stream_of_an_earlier_version_gets_the_settings_of_this_one(cluster: ClusterFolder) -> None:
    client = await head_of(cluster)
    await client.jsm().add_stream(
        name=subjects.SHARE_STREAM,
        subjects=[subjects.ALL_SHARES],
        retention="workqueue",
        discard="new",
        max_bytes=MOST_SHARE_BYTES,
        duplicate_window=REPEAT_SECS,
    )
    async with head(cluster):
        config = (await client.jsm().stream_info(subjects.SHARE_STREAM)).config
        assert (config.max_msgs_per_subject, config.discard_new_per_subject) == (MOST_OF_A_NODE, True)
    await client.close()


async def test_what_a_head_asked_on_a_lost_connection_is_asked_again_on_the_next(
    cluster: ClusterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer comes to the first question; waiting for it would leave the nodes without jobs for seconds."""
    asked = 0

    async def unanswered_once(client: Client, replicas: int) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            await asyncio.sleep(60)
        await make_streams(client, replicas)

    monkeypatch.setattr("solominer.engines.cluster.engine.make_streams", unanswered_once)
    async with head(cluster) as h:
        h.engine._there.set()
        await until(lambda: asked == 2)
        assert h.engine._client is not None
        await h.engine._client.force_reconnect()
        await until(lambda: asked == 3 and h.engine._asking is None)
        assert h.engine._troubled_by == ""
