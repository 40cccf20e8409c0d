"""Miners at a node's front end: the head gets their shares under their names, and none that was accepted is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from solominer.chain.header import Header
from solominer.chain.networks import REGTEST
from solominer.config.paths import default_cache_dir
from solominer.engines.cluster.front_end import FrontEnd
from solominer.engines.cluster.join_file import JoinFile
from solominer.engines.cluster.known_jobs import KnownJobs
from solominer.engines.cluster.messages import ShareMessage
from solominer.engines.cluster.node import Node
from solominer.engines.cluster.spool import Spool
from solominer.engines.pool.pool import PoolSettings, WorkerPool
from solominer.engines.stratum.channel import ListenerSetup
from solominer.engines.stratum.engine import StratumSettings
from solominer.engines.stratum.work import PoolCoinbase, split_of
from solominer.errors import EngineError
from solominer.setup.cluster.folder import ClusterFolder
from solominer.work.job import Job
from solominer.work.workers import WorkerId
from tests.engines.cluster.rig import head, next_job, until
from tests.engines.cluster.server import SCRIPT, made, running
from tests.engines.stratum.builders import line, make_work
from tests.engines.stratum.wire import WireMiner
from tests.fakes import real_clock
from tests.ports import free_port
from tests.work.builders import PAYOUT, harder, mining

T = TypeVar("T")
WANTED = (1 << 254) - 1
"""A share target that the head wants: every fourth hash."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterFolder]:
    """A running server with a node."""
    folder = made(tmp_path, ["site2"])
    with running(folder):
        yield folder


def front_end(folder: Path, port: int = 0) -> FrontEnd:
    """A front end on a port of this machine that keeps its files there."""
    settings = StratumSettings(
        (ListenerSetup("127.0.0.1", port, fractional=True, start_difficulty=2.0**-32, v2="off"),),
        sessions_file=folder / "stratum-sessions.json",
        works_file=folder / "stratum-works.bin",
        cache_dir=default_cache_dir(),
    )
    return FrontEnd(settings, REGTEST, real_clock)


@asynccontextmanager
async def site(
    folder: ClusterFolder, *pools: WorkerPool, port: int = 0, pays: tuple[bytes, ...] = (PAYOUT.script_pubkey,)
) -> AsyncIterator[Node]:
    """A node with a front end."""
    join = replace(JoinFile.read(folder.join_path("site2")), payout_scripts=pays)
    node = Node(join, pools, Spool(folder.path / "shares.spool"), real_clock, front_end(folder.path, port))
    stop = asyncio.Event()
    task = asyncio.create_task(node.run(stop))
    try:
        await until(lambda: task.done() or url(node))
        yield node
    finally:
        stop.set()
        while WireMiner.opened:
            WireMiner.opened.pop().close()
        await asyncio.wait_for(task, 20)


def url(node: Node) -> str:
    """Where miners connect; empty before they can."""
    assert node.front is not None
    return next(iter(node.front.snapshot().urls), "")


async def miner(node: Node, session: str = "") -> WireMiner:
    """A miner with a job."""

    def begin() -> WireMiner:
        made = WireMiner(url=url(node))
        made.log_in(session=session)
        return made

    return await asyncio.to_thread(begin)


async def in_thread(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)


def hard(job: Job) -> Job:
    """A job on which no block is found and every fourth hash is a share for the head."""
    return replace(harder(job), share_target=WANTED, template=replace(job.template, target=1, nbits=0x03000001))


async def find(rig: WireMiner, *, target: int = WANTED, above: int = -1) -> tuple[list[str], Header]:
    return await in_thread(lambda: rig.mine(target=target, above=above, extranonce2=bytes(4)))


async def test_what_the_head_wants_goes_up_and_all_that_is_accepted_is_credited(cluster: ClusterFolder) -> None:
    _, job = mining()
    async with head(cluster) as h, site(cluster) as node:
        h.engine.publish(hard(job), clean=True)
        rig = await miner(node)
        params, _ = await find(rig, target=(1 << 256) - 1, above=WANTED)
        assert (await in_thread(lambda: rig.hand_in(params)))["result"] is True
        params, header = await find(rig)
        assert (await in_thread(lambda: rig.hand_in(params)))["result"] is True
        await until(lambda: h.shares)
        (share,) = h.shares
        assert str(share.worker) == "cluster/site2.stratum/rig.1"
        assert (share.is_block, share.kernel, share.share_target) == (False, "test/1", WANTED)
        assert job.header(share.extranonce, share.version, share.ntime, share.nonce).pack()[4:72] == header.pack()[4:72]

        def seen() -> dict[str, tuple[str, int, float]]:
            workers = h.engine.snapshot().workers
            return {each.worker.name: (each.state, each.shares, each.hashes_credited) for each in workers}

        await until(lambda: seen().get("site2.stratum/rig.1", ("", 0, 0.0))[1] == 2)
        assert seen() == {
            "site2.stratum": ("idle", 0, 0.0),
            "site2.stratum/rig.1": ("hashing", 2, 2 * round(2.0**32 * rig.job_difficulties[params[0]])),
        }
        rig.close()
        await until(lambda: seen()["site2.stratum/rig.1"][0] == "lost")


async def test_workers_and_miners_of_a_node_and_of_its_next_process_share_no_space(cluster: ClusterFolder) -> None:
    _, job = mining()
    pool = WorkerPool(PoolSettings(1, "fake", engine="tests.hashing.fake_engine"), real_clock)
    async with head(cluster) as h:
        h.engine.publish(job, clean=True)
        async with site(cluster, pool) as node:
            rig = await miner(node)
            params, _ = await find(rig, target=job.template.target)
            assert (await in_thread(lambda: rig.hand_in(params)))["result"] is True
            await until(lambda: {"site2.cpu0", "site2.stratum/rig.1"} == {each.worker.name for each in h.shares})
            session, extranonce1 = rig.session_id, rig.extranonce1
        async with site(cluster) as node:
            h.engine.publish(next_job(job, 2), clean=False)
            rig = await miner(node, session=session)
            assert (rig.session_id, rig.extranonce1) == (session, extranonce1)
            params, _ = await find(rig, target=job.template.target)
            assert (await in_thread(lambda: rig.hand_in(params)))["result"] is True
            await until(lambda: len({each.extranonce[:4] for each in h.shares}) == 3)


async def test_a_share_is_accepted_when_it_is_on_a_disk_and_the_next_process_sends_it(cluster: ClusterFolder) -> None:
    """Also one that the process before did not get, of a job from before."""
    _, job = mining()
    async with head(cluster) as h:
        async with site(cluster) as node:
            h.engine.publish(hard(job), clean=True)
            rig = await miner(node)
            params, _ = await find(rig)
            node._client, client = None, node._client  # the server is away,
            node.spool._path = cluster.path / "nats.conf" / "full"  # and the disk takes nothing
            rig.write(line(77, "mining.submit", "rig.1", *params) + "\n" + line(78, "mining.ping") + "\n")
            await in_thread(lambda: rig.reply(78))
            await until(lambda: node.spool.is_failing)
            assert not [each for each in rig.lines if each.get("id") == 77]
            node._client = client
            assert (await in_thread(lambda: rig.reply(77)))["result"] is True
            assert len(h.shares) == 1
            node._client, node.spool._path = None, cluster.path / "shares.spool"
            params, header = await in_thread(lambda: rig.mine(target=WANTED, extranonce2=b"next"))
            assert (await in_thread(lambda: rig.hand_in(params)))["result"] is True
            late, _ = await in_thread(lambda: rig.mine(target=WANTED, extranonce2=b"late"))
            node._sending |= {
                share.message_id for share in node.spool.waiting
            }  # it sends no more, like one that is dead
            node._client = client
        assert len(h.shares) == 1
        async with site(cluster) as node:
            await until(lambda: len(h.shares) == 2)
            assert h.shares[1].nonce == header.nonce
            again = await miner(node, session=rig.session_id)
            assert (await in_thread(lambda: again.hand_in(late)))["result"] is True
            await until(lambda: len(h.shares) == 3)


async def test_miners_get_no_job_that_pays_somebody_else(cluster: ClusterFolder) -> None:
    _, job = mining()
    async with head(cluster) as h, site(cluster, pays=(SCRIPT,)) as node:
        h.engine.publish(job, clean=True)
        await until(lambda: "refuses" in node.status)
        rig = WireMiner(url=url(node))
        rig.write(line(1, "mining.subscribe") + "\n" + line(2, "mining.authorize", "a", "x") + "\n")
        rig.write(line(3, "mining.ping") + "\n")
        await in_thread(lambda: rig.reply(3))
        assert not [each for each in rig.lines if each.get("method") == "mining.notify"]


async def test_a_port_that_is_taken_ends_the_node_with_what_to_do(cluster: ClusterFolder) -> None:
    port = free_port()
    async with site(cluster, port=port):
        with pytest.raises(EngineError, match=f"{port}"):
            await Node(
                JoinFile.read(cluster.join_path("site2")), (), Spool(cluster.path / "b"), real_clock,
                front_end(cluster.path / "b", port),
            ).run(asyncio.Event())  # fmt: skip


async def test_a_miner_that_was_asked_for_more_than_the_head_wants_counts_by_that_and_none_by_less() -> None:
    _, job = mining()
    known = KnownJobs(None)
    await known.add(7, replace(job, share_target=WANTED))

    def counted(asked: int) -> int:
        share = ShareMessage(7, job.job_id, bytes(12), 0, 0, 0, False, "stratum/a", "", share_target=asked)
        sent = ShareMessage.unpack(share.pack())
        told = known.job_of(sent, 7)
        assert told is not None
        event = known.event(sent, told, WorkerId("cluster", "a"), False, real_clock)
        return event.share_target

    assert [counted(asked) for asked in (WANTED // 9, 2 * WANTED, 0)] == [WANTED // 9, WANTED, WANTED]
    known.close()


def test_the_heads_share_target_does_not_bound_the_difficulty_of_miners_as_a_pools_does() -> None:
    """A large miner at a small cluster would send without end, until the head has heard of its rate."""
    pool = PoolCoinbase(b"", b"", split_of(8))
    of_a_pool = make_work(notable_target_le=WANTED.to_bytes(32, "little"), pool=pool)
    assert of_a_pool.most_difficulty < 1e-9
    assert replace(of_a_pool, origin=b"job").most_difficulty == make_work().difficulty
