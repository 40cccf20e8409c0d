"""Mining by IPC on a real bitcoin-node, named by $BITCOIN_NODE; skipped without it.

$IPC_BLOCKS (default 40) is how many blocks are mined in a row, $IPC_RESTARTS (default 3) how often the node ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from regtest.scenarios import fill_mempool, mine_blocks, node_args
from solominer.chain.header import meets_target
from solominer.chain.networks import REGTEST
from solominer.daemon.host_metrics import now
from solominer.doctor.check import Status
from solominer.doctor.ipc_check import check_ipc
from solominer.node.client import NodeClient
from solominer.node.headers import hash_at
from solominer.node.ipc.trial import try_interface
from solominer.node.private.bitcoind import find_bitcoind
from solominer.node.private.node import PrivateNode
from solominer.node.template import fetch_template
from solominer.work.events import Answer, NewTip, TemplateReady, TransactionsChecked
from solominer.work.found import BlockState
from solominer.work.job import Job, build_job
from solominer.work.job_check import check_job
from solominer.work.raw_transactions import RawTransactions
from solominer.work.template import Template
from tests.e2e.harness import RunningMiner, config_for
from tests.e2e.mined import PAYOUT, settings_of
from tests.node.inbox import Inbox

NODE = os.environ.get("BITCOIN_NODE")
BLOCKS = int(os.environ.get("IPC_BLOCKS", "40"))
RESTARTS = int(os.environ.get("IPC_RESTARTS", "3"))

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not NODE, reason="BITCOIN_NODE does not name a bitcoin-node"),
    pytest.mark.timeout(900),
]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[PrivateNode]:
    """A private node with the mining interface; its blocks are small, so that a full mempool lasts for many."""
    binary = find_bitcoind(Path(NODE or ""), tmp_path, report=print)
    extra = (*node_args(binary.version), "-ipcbind=unix", "-blockmaxweight=60000")
    with PrivateNode(binary, tmp_path / "n", extra_args=extra) as running:
        yield running


def socket_of(node: PrivateNode) -> Path:
    """Its socket."""
    return node.chain_dir / "node.sock"


def job_of(template: Template, salt: int) -> Job:
    """A checked job."""
    job = build_job(template, PAYOUT, job_id=1, salt=salt.to_bytes(4, "big"), tag=b"/e2e/")
    check_job(job, PAYOUT)
    return job


def solved(job: Job) -> str:
    """A block of a job."""
    space = job.space
    for nonce in count():
        header = job.header(job.extranonce(), space.version, space.ntime_min, nonce)
        if meets_target(header.hash_le(), job.template.target):
            return job.block_hex(header.pack(), job.extranonce())
    raise AssertionError


def same_block(template: Template, by_rpc: Template, salt: int) -> str:
    """A block of a template, whose job and block equal those of the same template by RPC."""
    ours, theirs = job_of(template, salt), job_of(replace(by_rpc, curtime=template.curtime), salt)
    assert (ours.coinbase, ours.merkle_branch, ours.space) == (theirs.coinbase, theirs.merkle_branch, theirs.space)
    block_hex = solved(ours)
    assert block_hex == solved(theirs)
    return block_hex


async def live(client: NodeClient, secs: float = 20.0) -> None:
    """Wait until templates come by IPC."""
    async with asyncio.timeout(secs):
        while not client._ipc.is_live:
            await asyncio.sleep(0.01)


def test_the_doctor_finds_it(node: PrivateNode) -> None:
    mine_blocks(node, 1)
    version, _, height = try_interface(socket_of(node))
    assert (version in ("31", "32"), height) == (True, 1)
    with settings_of(node).connect() as client:
        outcome = check_ipc(socket_of(node), lambda height: hash_at(client, height))
    assert outcome.status is Status.OK, outcome


async def test_blocks_in_a_row_from_jobs_that_equal_those_by_rpc(node: PrivateNode) -> None:
    mine_blocks(node, 110)
    inbox = Inbox()
    client = NodeClient(settings_of(node, ipc_socket=socket_of(node)), inbox.post, now)
    running = asyncio.create_task(client.run())
    await live(client)
    await client.fetch_template("the rules")
    with_transactions = by_rpc = empty_by_ipc = 0
    empty: Template | None = None
    sources = set()
    with settings_of(node).connect() as rpc:
        for salt in range(BLOCKS):
            if not rpc.call("getmempoolinfo")["size"] and with_transactions < BLOCKS // 4:
                await asyncio.to_thread(fill_mempool, node, 1500, seed=salt)
            await client.fetch_template("test")
            template = inbox.of(TemplateReady)[-1].template
            other = fetch_template(rpc, REGTEST).template
            raw = isinstance(template.transactions, RawTransactions)
            with_transactions += bool(template.transactions)
            by_rpc += bool(template.transactions) and not raw
            block_hex = same_block(template, other, salt)
            if empty is not None and empty.prevhash_le == other.prevhash_le:  # filling the mempool mines, too
                same_block(empty, other.without_transactions(), salt)
            if template.transactions:
                await client.check_transactions(template)
                assert inbox.of(TransactionsChecked)[-1].problem == ""
                assert [tx[:6] for tx in template.transactions] == [tx[:6] for tx in other.transactions]
            reply = await client.submit(block_hex)
            assert reply.answer is Answer.ACCEPTED
            best = bytes.fromhex(str(rpc.call("getbestblockhash")))[::-1]
            sources.add((await inbox.next(NewTip, lambda tip, best=best: tip.hash_le == best)).source)  # type: ignore[misc]
            empty = (await client.tip_facts(best)).empty
            empty_by_ipc += empty is not None
    assert with_transactions >= BLOCKS // 4
    assert by_rpc <= 1 + BLOCKS // 144, "one for each period of rules"
    assert empty_by_ipc >= BLOCKS // 2, "RPC's facts are taken where the node's template is late, or rules may change"
    assert "ipc" in sources
    await client.close()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_node_that_ends_again_and_again_costs_no_block(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    mine_blocks(node, 110)
    fill_mempool(node, 400)
    config = config_for(node, tmp_path / "data", poll_secs=0.2)
    async with RunningMiner(monkeypatch, config) as miner:
        (client,) = miner.executor._nodes.values()
        assert isinstance(client, NodeClient)
        await live(client)
        tracker = miner.coordinator.blocks

        async def find(blocks: int) -> None:
            """Let it find that many more; the chain may go back behind them, if a killed node forgets some."""
            wanted = tracker._found_count + blocks
            miner.allow(miner.accepted + 1000)
            await miner.until(lambda: tracker._found_count >= wanted, 60.0)

        for number in range(RESTARTS):
            await find(2)
            began = time.monotonic()
            if number % 3 == 2:
                os.kill(node.pid, signal.SIGSTOP)
                await miner.until(lambda: not client._ipc.is_live, 12.0)
                os.kill(node.pid, signal.SIGCONT)
            else:
                await asyncio.to_thread(node.kill if number % 3 else node.stop)
                await miner.until(lambda: not client._ipc.is_live, 1.0)
            await asyncio.to_thread(node.start)
            await live(client, 30.0)
            logging.getLogger(__name__).info("end %d took %.1f s", number, time.monotonic() - began)
        await find(2)
        assert sum(isinstance(job.template.transactions, RawTransactions) for job in miner.jobs) > 0
        miner.allow(0)
        await miner.until(lambda: miner.coordinator.blocks.standing > RESTARTS)
        tracked = {each.block.hash_hex: each for each in (*tracker.settled, *tracker.open.values())}
        assert not [each for each in tracked.values() if each.state is BlockState.REJECTED]

        def not_ours() -> list[int]:
            """Heights at which the chain has none of ours, though one was found."""
            height = int(node.call("getblockcount"))
            heights = sorted({each.block.height for each in tracked.values()})
            return [each for each in heights if each > height or str(node.call("getblockhash", each)) not in tracked]

        # A killed node forgets blocks, and gets them again, or others of ours in their place.
        async with asyncio.timeout(60.0):
            while await asyncio.to_thread(not_ours):
                await asyncio.sleep(0.5)
    lines = [record.getMessage() for record in caplog.records if "templates by" in record.getMessage()]
    assert lines[0].startswith("node ")
    assert sum("templates by IPC" in line for line in lines) >= RESTARTS + 1
