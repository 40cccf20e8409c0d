"""Of two heads one alone reaches the stream of the newest job, even if the other hears nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from solominer.engines.cluster import subjects
from solominer.engines.cluster.fence import Fence
from solominer.engines.cluster.streams import newest_job
from solominer.setup.cluster.folder import ClusterFolder
from tests.engines.cluster.rig import head, next_job, too_hard, until
from tests.engines.cluster.server import head_of, made, running
from tests.work.builders import mining


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterFolder]:
    folder = made(tmp_path_factory.mktemp("fence"), [])
    with running(folder):
        yield folder


@pytest.fixture
async def client(cluster: ClusterFolder) -> AsyncIterator[Client]:
    """A head's, with an empty stream of jobs."""
    found = await head_of(cluster)
    js = found.jetstream()
    await js.add_stream(StreamConfig(subjects.JOB_STREAM, subjects=[subjects.JOB], max_msgs=1, allow_direct=True))
    await js.purge_stream(subjects.JOB_STREAM)
    yield found
    await js.delete_stream(subjects.JOB_STREAM)
    await found.close()


async def newest(client: Client) -> bytes | None:
    return (await client.jetstream().get_last_msg(subjects.JOB_STREAM, subjects.JOB)).data


async def stored(client: Client, job_id: int) -> None:
    """Until the server keeps this job as the newest."""
    async with asyncio.timeout(20):
        while (message := await newest_job(client)) is None or message.job is None or message.job.job_id != job_id:
            await asyncio.sleep(0.02)


async def test_messages_follow_each_other_without_waiting(client: Client) -> None:
    looked: list[None] = []
    fence = Fence(lambda: looked.append(None))
    fence.begin(0)
    await asyncio.gather(*(fence.publish(client, b"%d" % number) for number in range(20)))
    assert (await newest(client), looked) == (b"19", [])


async def test_whoever_was_overtaken_is_refused_until_it_has_looked(client: Client) -> None:
    looked: list[None] = []
    old, new = Fence(lambda: looked.append(None)), Fence(pytest.fail)
    for each in (old, new):
        each.begin(0)
    await new.publish(client, b"new")
    assert not any(await asyncio.gather(*(old.publish(client, b"old %d" % number) for number in range(4))))
    assert (await newest(client), len(looked)) == (b"new", 2)  # the first one and the last
    old.begin(1)
    assert await old.publish(client, b"old, knowing")
    assert (await newest(client), len(looked)) == (b"old, knowing", 2)


async def test_one_behind_a_refused_one_is_refused_whatever_the_other_head_sent(client: Client) -> None:
    """A number that was guessed ahead would be right: another head's message has it."""
    old, new = Fence(lambda: None), Fence(pytest.fail)
    for each in (old, new):
        each.begin(0)
    for number in range(5):
        sent = [new.publish(client, b"new %d" % number), *(old.publish(client, b"old %d" % n) for n in range(3))]
        assert await asyncio.gather(*sent) == [True, False, False, False]
    assert await newest(client) == b"new 4"


async def test_nodes_hear_one_that_waits_for_the_one_before(cluster: ClusterFolder, client: Client) -> None:
    heard: list[bytes] = []

    async def hear(message: Msg) -> None:
        heard.append(message.data)

    fence, node = Fence(pytest.fail), await head_of(cluster)
    await node.subscribe(subjects.JOB, cb=hear)
    await node.flush()
    async with fence._free:  # the one before has arrived, and its acknowledgement has not
        await client.jetstream().publish(subjects.JOB, b"1")
        sending = [asyncio.create_task(fence.publish(client, b"%d" % number)) for number in (2, 3)]
        await until(lambda: heard == [b"1", b"2", b"3"])
        assert await newest(client) == b"1"
        fence.begin(1)
    assert await asyncio.gather(*sending) == [False, True]
    assert await newest(client) == b"3"
    await node.close()


async def test_without_a_stream_it_looks_again(client: Client) -> None:
    looked: list[None] = []
    fence = Fence(lambda: looked.append(None))
    await client.jetstream().delete_stream(subjects.JOB_STREAM)
    await fence.publish(client, b"1")
    assert len(looked) == 1
    await client.jetstream().add_stream(StreamConfig(subjects.JOB_STREAM, subjects=[subjects.JOB], max_msgs=1))


async def test_an_old_head_that_hears_nothing_stops_with_its_next_job(cluster: ClusterFolder) -> None:
    """As after a partition: it is refused, looks, and finds a newer run."""
    _, job = mining()
    async with head(cluster) as old:
        old.engine._heard_job = None  # type: ignore[method-assign,assignment]
        assert old.engine._client is not None
        for subscription in list(old.engine._client._subs.values()):
            if subscription.subject == subjects.JOB:
                await subscription.unsubscribe()
        async with head(cluster) as new:
            new.engine.publish(too_hard(next_job(job, 7)), clean=True)
            assert new.engine._client is not None
            await stored(new.engine._client, 7)
            old.engine.publish(too_hard(next_job(job, 8)), clean=True)
            await until(lambda: old.engine._replaced)
            message = await newest_job(new.engine._client)
            assert message is not None
            assert message.run == new.engine._run


async def test_a_job_that_the_server_lost_is_published_again(cluster: ClusterFolder) -> None:
    _, job = mining()
    async with head(cluster) as h:
        h.engine.publish(too_hard(next_job(job, 3)), clean=True)
        client = h.engine._client
        assert client is not None
        await stored(client, 3)
        await client.jetstream().publish(subjects.JOB, b"somebody else's")
        h.engine.publish(too_hard(next_job(job, 4)), clean=True)
        await stored(client, 4)
        assert not h.engine._replaced
