"""A node's client with IPC beside RPC: what comes which way, and that nothing is lost when one of them fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.hashes import from_rpc_hex, to_rpc_hex
from solominer.chain.header import Header
from solominer.chain.networks import REGTEST, SIGNET
from solominer.daemon.host_metrics import now
from solominer.node import submit
from solominer.node.client import NodeClient, NodeSettings
from solominer.node.credentials import UserPassword
from solominer.node.demo import synthetic_reply
from solominer.node.ipc import connection, source
from solominer.node.ipc import submit as ipc_submit
from solominer.work.events import Answer, NewTip, TemplateReady, TipFacts, TransactionsChecked
from solominer.work.job import Job, build_job
from solominer.work.job_check import check_job
from solominer.work.raw_transactions import RawTransactions
from solominer.work.template import Template
from tests.node.fake_chain import told_header
from tests.node.fake_node import FakeNode, Silence, error
from tests.node.inbox import Inbox
from tests.node.ipc.mock_node import Behaviour, MockNode
from tests.work.builders import PAYOUT
from tests.work.stated import stated_of

HEIGHT = 1000
REPLY = synthetic_reply(REGTEST, seed=1, transactions=30, height=HEIGHT)
FULL = stated_of(REPLY)
EMPTY = stated_of(REPLY | {"transactions": [], "coinbasevalue": REGTEST.subsidy(HEIGHT)})
PARENT = from_rpc_hex(REPLY["previousblockhash"])


@pytest.fixture
def well(fake: FakeNode) -> FakeNode:
    """A fake regtest node that is well; its blocks are all the same one."""
    parent = REPLY["previousblockhash"]
    fake.answers = {
        "getblockchaininfo": {
            "chain": "regtest", "blocks": HEIGHT - 1, "headers": HEIGHT - 1, "bestblockhash": parent,
            "chainwork": "04", "time": 100, "mediantime": 90,
        },
        "getblockhash": lambda height: REGTEST.genesis_hex if height == 0 else parent,
        "getnetworkinfo": {"subversion": "/fake/", "connections": 0},
        "getbestblockhash": parent,
        "getblocktemplate": REPLY,
        "submitblock": "high-hash",
        "waitfornewblock": Silence(),
    }  # fmt: skip
    return fake


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[MockNode]:
    """The mining interface of the same node."""
    does = Behaviour(full=FULL, empty=EMPTY, tip_le=PARENT, height=HEIGHT - 1)
    with MockNode(tmp_path / "node.sock", does) as running:
        yield running


class Rig:
    """The client of both, and what it posts."""

    def __init__(self, well: FakeNode, path: Path, **changes: Any) -> None:
        self.inbox = Inbox()
        settings = NodeSettings(
            "alpha", "127.0.0.1", well.port, UserPassword("me", "secret"), REGTEST, poll_secs=0.5, ipc_socket=path
        )
        self.client = NodeClient(replace(settings, **changes), self.inbox.post, now)
        self._task: asyncio.Task[None] | None = None

    async def run(self, state: str = "live") -> None:
        """Run until the state of IPC contains this."""
        self._task = asyncio.create_task(self.client.run())
        await self.until(state)

    async def until(self, state: str) -> None:
        """Wait for a state of IPC."""
        async with asyncio.timeout(20):
            while state not in self.client._ipc.state:
                await asyncio.sleep(0.005)

    async def template(self) -> Template:
        """The next template."""
        before = len(self.inbox.of(TemplateReady))
        await self.client.fetch_template("test")
        ready = self.inbox.of(TemplateReady)
        assert len(ready) == before + 1
        return ready[-1].template

    async def close(self) -> None:
        """End."""
        await self.client.close()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def rig(well: FakeNode, mock: MockNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """The client, not running; IPC is tried again quickly, and has time to answer."""
    monkeypatch.setattr(source, "READ_SECS", 20.0)
    monkeypatch.setattr(ipc_submit, "GRACE_SECS", 20.0)
    monkeypatch.setattr(connection, "ABSENT_WAIT_SECS", 0.02)
    monkeypatch.setattr(connection, "REFUSED_WAIT_SECS", 0.05)
    made = Rig(well, mock.path)
    yield made
    await made.close()


def is_raw(template: Template) -> bool:
    """Whether it came by IPC."""
    return isinstance(template.transactions, RawTransactions)


def job_of(template: Template) -> Job:
    """A checked job."""
    job = build_job(template, PAYOUT, job_id=1, salt=b"salt")
    check_job(job, PAYOUT)
    return job


def block_of(job: Job, nonce: int = 0) -> str:
    """A block of a job; nobody here looks at its work."""
    space = job.space
    return job.block_hex(job.header(job.extranonce(), space.version, space.ntime_min, nonce).pack(), job.extranonce())


async def test_the_first_template_is_by_rpc_and_those_after_it_by_ipc(rig: Rig, well: FakeNode) -> None:
    await rig.run()
    first, second = await rig.template(), await rig.template()
    assert (is_raw(first), is_raw(second)) == (False, True)
    assert first.template_id == second.template_id
    assert block_of(job_of(first)) == block_of(job_of(second))
    await rig.client.check_transactions(second)
    assert rig.inbox.of(TransactionsChecked)[-1].problem == ""
    third = await rig.template()
    await rig.client.check_transactions(third)
    assert all(a is b for a, b in zip(second.transactions, third.transactions, strict=True))
    assert [each.method for each in well.requests].count("getblocktemplate") == 1
    assert (await rig.client.look()).ipc == "live"


async def test_another_nodes_socket_is_not_used(rig: Rig, mock: MockNode) -> None:
    mock.does.tip_le = b"\7" * 32
    await rig.run("it is another node's socket")
    assert not is_raw(await rig.template())
    assert not is_raw(await rig.template())


async def test_a_node_whose_rpc_does_not_answer_is_tried_again(rig: Rig, well: FakeNode) -> None:
    right = well.answers["getblockhash"]
    well.answers["getblockhash"] = lambda _: error(-28, "Loading")
    await rig.run("RPC does not confirm")
    well.answers["getblockhash"] = right
    await rig.until("live")


async def test_a_new_tip_by_ipc(rig: Rig, mock: MockNode) -> None:
    await rig.run()
    await rig.inbox.next(NewTip)
    mock.new_tip(b"\5" * 32)
    assert (await rig.inbox.next(NewTip, lambda tip: tip.hash_le == b"\5" * 32)).source == "ipc"


BY_RPC = TipFacts(PARENT, HEIGHT - 1, 0x20000000, 100, 99, 0x207FFFFF)


async def test_the_node_itself_sends_the_empty_template_of_a_new_tip(
    rig: Rig, mock: MockNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "EMPTY_SECS", 20.0)
    await rig.run()
    await rig.template()
    for tip_le in (b"\5" * 32, b"\6" * 32):
        asked = asyncio.create_task(rig.client.tip_facts(tip_le))  # ZMQ may be first
        await asyncio.sleep(0)
        mock.new_tip(tip_le)
        facts = await asked
        assert facts.empty is not None
        assert facts.empty.provisional
        assert (facts.hash_le, facts.empty.prevhash_le) == (tip_le, tip_le)
        assert (facts.height, facts.empty.height) == (HEIGHT - 1, HEIGHT)
        assert facts.empty.coinbase_value == REGTEST.subsidy(HEIGHT)
        job_of(facts.empty)
    assert mock.does.called.count("createNewBlock") == 2, "the probe's and the first to wait on"


@pytest.mark.parametrize("state", ["another tip", "not live", "no template by RPC yet", "other rules"])
async def test_without_it_the_facts_of_a_new_tip_are_by_rpc(
    rig: Rig, mock: MockNode, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(submit, "tip_facts", lambda client, hash_le: replace(BY_RPC, hash_le=hash_le))
    await rig.run()
    if state != "no template by RPC yet":
        await rig.template()
    if state == "other rules":
        mock.does.empty = stated_of(REPLY | {"transactions": [], "coinbasevalue": 1, "version": 0x20000004})
    mock.new_tip(b"\5" * 32)
    await rig.inbox.next(NewTip, lambda tip: tip.hash_le == b"\5" * 32)
    if state == "not live":
        rig.client._ipc.close()
        rig.client._ipc._left("told so")
    tip_le = bytes([6 if state == "another tip" else 5]) * 32
    assert await rig.client.tip_facts(tip_le) == replace(BY_RPC, hash_le=tip_le)


@pytest.mark.parametrize(
    "trouble", [{"sleeps": {"createNewBlock": 9.0}}, {"failing": {"getBlock"}}, {"nothing": {"createNewBlock"}}]
)
async def test_a_template_that_fails_comes_by_rpc_within_a_second(
    rig: Rig, mock: MockNode, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, Any]
) -> None:
    await rig.run()
    await rig.template()
    mock.does.__dict__.update(trouble)
    with monkeypatch.context() as hurried:
        hurried.setattr(source, "READ_SECS", 0.2)
        began = time.monotonic()
        assert not is_raw(await rig.template())
        assert time.monotonic() - began < 5
    if "sleeps" in trouble:
        await rig.until("no answer within 0.2 s")
    mock.does.__dict__.update(sleeps={}, failing=set(), nothing=set())
    await rig.until("live")
    assert is_raw(await rig.template())


async def test_the_nodes_end_and_return(rig: Rig, mock: MockNode) -> None:
    await rig.run()
    await rig.template()
    for _ in range(3):
        await asyncio.to_thread(mock.stop)
        assert not is_raw(await rig.template())
        await rig.until("cannot open")
        mock.start()
        await rig.until("live")
        assert is_raw(await rig.template())


async def test_a_template_that_cannot_be_comes_by_rpc(
    rig: Rig, mock: MockNode, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.run()
    await rig.template()
    mock.does.full = replace(FULL, coinbase=replace(FULL.coinbase, reward=1))
    assert not is_raw(await rig.template())
    assert "no template by IPC, asking by RPC: the template by IPC is refused: the reward is 1" in caplog.text
    await rig.until("the reward is 1")
    mock.does.full = FULL
    await rig.until("live")
    assert is_raw(await rig.template())


async def test_a_node_whose_bytes_contradict_its_statements_is_not_asked_again(rig: Rig, mock: MockNode) -> None:
    await rig.run()
    await rig.template()
    mock.does.full = replace(FULL, block=FULL.block[:-1] + b"\7")
    lying = await rig.template()
    assert is_raw(lying)
    job_of(lying)
    await rig.client.check_transactions(lying)
    assert "commitment does not match" in rig.inbox.of(TransactionsChecked)[-1].problem
    await rig.until("its template was withdrawn")
    mock.does.full = FULL
    assert not is_raw(await rig.template())


async def test_new_rules_may_begin_with_a_period_so_rpc_is_asked(rig: Rig, well: FakeNode, mock: MockNode) -> None:
    await rig.run()
    await rig.template()
    later = synthetic_reply(REGTEST, seed=2, transactions=5, height=HEIGHT + 144)
    well.answers["getblocktemplate"], mock.does.full = later, stated_of(later)
    assert [is_raw(await rig.template()) for _ in range(2)] == [False, True]
    signal = later | {"version": 0x20000004, "vbavailable": {"something": 2}}
    well.answers["getblocktemplate"], mock.does.full = signal, stated_of(signal)
    first, second = await rig.template(), await rig.template()
    assert (is_raw(first), is_raw(second)) == (False, True)
    assert (first.version, first.version_mask) == (second.version, second.version_mask)


async def test_signed_blocks_are_left_to_rpc(well: FakeNode, mock: MockNode) -> None:
    rig = Rig(well, mock.path, network=SIGNET)
    await rig.run("blocks of a signet are signed")
    assert mock.does.called == []
    await rig.close()


# --- blocks ---


def found(block_hex: str, *, active: bool) -> Callable[[str], Any]:
    """The node has this block, in its active chain or not."""
    header = Header.unpack(bytes.fromhex(block_hex[:160]))
    answer = told_header(header, HEIGHT, 1 if active else -1)
    return lambda hash_hex: answer if hash_hex == to_rpc_hex(header.hash_le()) else error(-5, "Block not found")


@pytest.mark.parametrize(
    ("release", "verdict", "by_rpc", "active", "answer"),
    [
        (32, None, None, True, Answer.ACCEPTED),
        (31, None, None, True, Answer.ACCEPTED),
        (32, None, "duplicate", True, Answer.ACCEPTED),
        (32, "duplicate", None, True, Answer.ACCEPTED),
        (32, "duplicate", "duplicate", True, Answer.HELD),
        (31, "duplicate", "duplicate", True, Answer.ACCEPTED),
        (31, "duplicate", "duplicate", False, Answer.HELD),
        (32, "inconclusive", "inconclusive", False, Answer.HELD),
        (32, None, None, False, Answer.HELD),
        (32, "bad-cb-amount", "bad-cb-amount", False, Answer.INVALID),
        (31, "bad-cb-amount", "bad-cb-amount", False, Answer.INVALID),
        (32, "bad-witness-nonce-size", None, True, Answer.ACCEPTED),
        (32, "high-hash", "time-too-new", False, Answer.RETRY),
    ],
)
async def test_a_solution_goes_both_ways(
    rig: Rig,
    well: FakeNode,
    mock: MockNode,
    release: int,
    verdict: str | None,
    by_rpc: Any,
    active: bool,
    answer: Answer,
) -> None:
    mock.does.release = release
    await rig.run()
    await rig.template()
    job = job_of(await rig.template())
    mock.does.verdicts = [verdict] if verdict else []
    block_hex = block_of(job)
    well.answers |= {"submitblock": by_rpc, "getblockheader": found(block_hex, active=active)}
    assert (await rig.client.submit(block_hex)).answer is answer
    while not mock.does.solutions:  # RPC's answer may have been first
        await asyncio.sleep(0.005)
    header, coinbase = mock.does.solutions[-1]
    assert block_hex.startswith(header.hex())
    assert block_hex[162:].startswith(coinbase.hex())
    while block_hex not in [each.params[0] for each in well.requests if each.method == "submitblock"]:
        await asyncio.sleep(0.005)


async def test_every_solution_of_a_template_is_sent_though_the_first_altered_it(
    rig: Rig, well: FakeNode, mock: MockNode
) -> None:
    await rig.run()
    await rig.template()
    jobs = [job_of(await rig.template()) for _ in range(2)]
    well.answers |= {"submitblock": "inconclusive"}
    blocks = [block_of(job, nonce) for nonce in range(3) for job in jobs]
    for block_hex in blocks:
        await rig.client.submit(block_hex)
    while len(mock.does.solutions) < len(blocks):  # RPC's answer may have been first
        await asyncio.sleep(0.005)
    assert [header.hex() for header, _ in mock.does.solutions] == [each[:160] for each in blocks]
    await rig.client.check_transactions(jobs[0].template)
    assert block_of(jobs[0]) == blocks[0]


async def test_an_acceptance_by_ipc_does_not_wait_for_rpc(rig: Rig, well: FakeNode) -> None:
    await rig.run()
    await rig.template()
    job = job_of(await rig.template())
    block_hex = block_of(job)
    well.answers |= {"submitblock": Silence(), "getblockheader": found(block_hex, active=True)}
    reply = await asyncio.wait_for(rig.client.submit(block_hex), 20)
    assert reply.answer is Answer.ACCEPTED


@pytest.mark.parametrize(
    "trouble", [{"sleeps": {"submitSolution": 9.0}}, {"failing": {"submitSolution"}}, {"release": 32}]
)
async def test_what_ipc_cannot_take_goes_by_rpc(
    rig: Rig, well: FakeNode, mock: MockNode, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, Any]
) -> None:
    """It hangs, fails, or the block is of a template that it never made."""
    await rig.run()
    job = job_of(await rig.template())
    if "release" not in trouble:
        job = job_of(await rig.template())
    monkeypatch.setattr(source, "SUBMIT_SECS", 0.2)
    mock.does.__dict__.update(trouble)
    block_hex = block_of(job)
    well.answers |= {"submitblock": None, "getblockheader": found(block_hex, active=True)}
    assert (await rig.client.submit(block_hex)).answer is Answer.ACCEPTED
    well.answers |= {"submitblock": "inconclusive"}
    assert (await rig.client.submit(block_of(job, 1))).answer is Answer.HELD
    assert not mock.does.solutions


async def test_a_fault_of_ipc_costs_no_answer_by_rpc(
    rig: Rig, well: FakeNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(*arguments: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr(source, "submit_solution", breaks)
    await rig.run()
    await rig.template()
    block_hex = block_of(job_of(await rig.template()))
    well.answers |= {"submitblock": None, "getblockheader": found(block_hex, active=True)}
    assert (await rig.client.submit(block_hex)).answer is Answer.ACCEPTED
    assert "a bug" in caplog.text


async def test_a_submission_survives_the_end_of_the_link(rig: Rig, well: FakeNode, mock: MockNode) -> None:
    """A template is withdrawn while a block is on its way."""
    await rig.run()
    await rig.template()
    job = job_of(await rig.template())
    mock.does.sleeps["submitSolution"] = 9.0
    well.answers |= {"submitblock": "inconclusive"}
    sending = asyncio.create_task(rig.client.submit(block_of(job)))
    while "submitSolution" not in mock.does.called[-1]:
        await asyncio.sleep(0.005)
    rig.client._ipc.distrust("as told")
    assert (await asyncio.wait_for(sending, 10)).answer is Answer.HELD


async def test_an_answer_by_rpc_does_not_wait_long_for_ipc(
    rig: Rig, well: FakeNode, mock: MockNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipc_submit, "GRACE_SECS", 0.05)
    await rig.run()
    await rig.template()
    job = job_of(await rig.template())
    mock.does.sleeps["submitSolution"] = 9.0
    well.answers |= {"submitblock": "time-too-new"}
    began = time.monotonic()
    assert (await rig.client.submit(block_of(job))).answer is Answer.RETRY
    assert time.monotonic() - began < 5
