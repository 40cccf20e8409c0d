"""The client of a fake node: what is posted when, and that neither a failing nor a hanging node stops anything else."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.hashes import from_rpc_hex, to_rpc_hex
from solominer.chain.header import Header
from solominer.chain.networks import REGTEST
from solominer.daemon.host_metrics import now
from solominer.errors import NodeError, NodeNotReady, NodeUnreachable, PayoutError, SolominerError
from solominer.node import rpc_gate
from solominer.node.client import NodeClient, NodeSettings
from solominer.node.credentials import CookieFile, UserPassword
from solominer.node.demo import synthetic_reply
from solominer.node.longpoll import BLOCKED_ALLOWED
from solominer.work.events import (
    Answer,
    HealthSeen,
    NewTip,
    SubmittingTried,
    TemplateFailed,
    TemplateReady,
    TransactionsChecked,
)
from solominer.work.instant import Instant
from solominer.work.template import parse_template
from tests.node.fake_chain import told_header
from tests.node.fake_node import Drop, FakeNode, Reply, Silence, error
from tests.node.inbox import Inbox

A_HEX, B_HEX, C_HEX = ("aa" * 32, "bb" * 32, "cc" * 32)


@pytest.fixture
def inbox() -> Inbox:
    """An inbox."""
    return Inbox()


@pytest.fixture
def well(fake: FakeNode) -> FakeNode:
    """A fake regtest node that is well, at tip A."""
    fake.answers = {
        "getblockchaininfo": {
            "chain": "regtest",
            "blocks": 1,
            "headers": 1,
            "bestblockhash": A_HEX,
            "chainwork": "04",
            "time": 100,
            "mediantime": 90,
        },
        "getblockhash": REGTEST.genesis_hex,
        "getnetworkinfo": {"subversion": "/fake/", "connections": 0},
        "getbestblockhash": A_HEX,
        "getblocktemplate": synthetic_reply(REGTEST, seed=1, transactions=30),
    }
    return fake


@pytest.fixture
async def node_client(well: FakeNode, inbox: Inbox) -> AsyncIterator[NodeClient]:
    """Its node client, which polls often, not running yet."""
    settings = NodeSettings(
        "alpha", "127.0.0.1", well.port, UserPassword("me", "secret"), REGTEST, poll_secs=0.02, health_secs=60
    )
    made = NodeClient(settings, inbox.post, clock=lambda: Instant(5.0, 1.0))
    yield made
    await made.close()


async def _running(node_client: NodeClient) -> asyncio.Task[Any]:
    task = asyncio.create_task(node_client.run())
    await asyncio.sleep(0)
    return task


async def _stop(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_node_that_is_left_is_not_lost(
    node_client: NodeClient, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon closes its nodes while they are still watched."""
    task = await _running(node_client)
    await inbox.until(lambda: bool(inbox.of(NewTip)) and bool(inbox.of(HealthSeen)))
    node_client._look_now.set()
    await node_client.close()
    await asyncio.sleep(0.3)
    assert all(seen.health.reachable for seen in inbox.of(HealthSeen))
    assert not [tried for tried in inbox.of(SubmittingTried) if "is closed" in tried.problem]
    assert "is unreachable" not in caplog.text
    await _stop(task)


# --- templates ---


async def test_a_template_is_posted_with_its_times(node_client: NodeClient, inbox: Inbox) -> None:
    await node_client.fetch_template("start")
    ready = inbox.of(TemplateReady)[0]
    assert (ready.at, ready.node, len(ready.template.transactions)) == (Instant(5.0, 1.0), "alpha", 30)
    assert ready.rpc_secs > 0
    assert ready.parse_secs > 0


async def test_a_template_that_breaks_a_rule_is_refused(well: FakeNode, node_client: NodeClient, inbox: Inbox) -> None:
    well.answers["getblocktemplate"]["rules"].append("!unheard-of")
    await node_client.fetch_template("start")
    failed = inbox.of(TemplateFailed)[0]
    assert failed.refused
    assert "!unheard-of" in failed.reason
    assert "\n" not in failed.reason


async def test_no_template_from_a_node_that_is_not_ready_or_on_another_chain(
    well: FakeNode, node_client: NodeClient, inbox: Inbox
) -> None:
    well.answers["getblocktemplate"] = error(-10, "in initial sync")
    await node_client.fetch_template("start")
    well.answers["getblockchaininfo"] = {"chain": "main"}  # asked again, since the last attempt failed
    await node_client.fetch_template("again")
    first, second = inbox.of(TemplateFailed)
    assert not first.refused
    assert "in initial sync" in first.reason
    assert "is on chain 'main'" in second.reason


async def test_the_network_is_asked_once_while_all_goes_well(well: FakeNode, node_client: NodeClient) -> None:
    for _ in range(3):
        await node_client.fetch_template("again")
    methods = [each.method for each in well.requests]
    assert (methods.count("getblockchaininfo"), methods.count("getblocktemplate")) == (1, 3)


async def test_transactions_are_checked_behind_the_publication(node_client: NodeClient, inbox: Inbox) -> None:
    template = parse_template(synthetic_reply(REGTEST, seed=2, transactions=500), REGTEST)
    await node_client.check_transactions(template)
    await node_client.check_transactions(template)
    checked = TransactionsChecked(Instant(5.0, 1.0), "alpha", template.template_id)
    assert inbox.events == [checked, checked]
    lying = replace(template, transactions=(template.transactions[0]._replace(weight=1), *template.transactions[1:]))
    await node_client.check_transactions(lying)
    assert "weighs" in inbox.of(TransactionsChecked)[2].problem


async def test_the_check_lets_others_run(node_client: NodeClient) -> None:
    """The loop gets its turn every few milliseconds: another task runs many times meanwhile."""
    template = parse_template(synthetic_reply(REGTEST, seed=2, transactions=1500), REGTEST)
    checking = asyncio.create_task(node_client.check_transactions(template))
    turns = 0
    while not checking.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 5


# --- watching ---


async def test_tips_and_health_are_posted(well: FakeNode, node_client: NodeClient, inbox: Inbox) -> None:
    task = await _running(node_client)
    await inbox.next(NewTip)
    health = (await inbox.next(HealthSeen)).health
    assert (health.usable, health.node, health.zmq) == (True, "alpha", "off")
    well.answers["getbestblockhash"] = B_HEX
    tip = await inbox.next(NewTip, lambda each: each.hash_le == from_rpc_hex(B_HEX))
    assert tip == NewTip(Instant(5.0, 1.0), "alpha", from_rpc_hex(B_HEX), "poll")
    assert len(inbox.of(NewTip)) == 2
    await _stop(task)


async def test_a_lost_node_is_posted_once_and_looked_at_when_it_is_back(
    well: FakeNode, node_client: NodeClient, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    task = await _running(node_client)
    await inbox.next(HealthSeen)
    well.answers["getbestblockhash"] = error(-28, "Loading block index")
    lost = await inbox.next(HealthSeen, lambda each: not each.health.reachable)
    assert "Loading block index" in lost.health.problem
    seen = len(well.requests)
    await asyncio.to_thread(well.wait_for_request, seen + 3)
    well.answers["getbestblockhash"] = A_HEX
    await inbox.until(lambda: inbox.of(HealthSeen)[-1].health.reachable)
    assert [each.health.reachable for each in inbox.of(HealthSeen)] == [True, False, True]
    assert caplog.text.count("node alpha is unreachable") == 1
    assert caplog.text.count("node alpha is reachable again") == 1
    assert "secret" not in caplog.text
    await _stop(task)


async def test_an_answer_that_is_no_hash_is_a_failure_like_any_other(
    well: FakeNode, node_client: NodeClient, inbox: Inbox
) -> None:
    well.answers["getbestblockhash"] = "not a hash"
    task = await _running(node_client)
    lost = await inbox.next(HealthSeen, lambda each: not each.health.reachable)
    assert "getbestblockhash is 'not a hash', not a hash" in lost.health.problem
    well.answers["getbestblockhash"] = A_HEX
    await inbox.next(NewTip)
    await _stop(task)


async def test_an_unexpected_end_of_a_part_raises(node_client: NodeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: NodeClient) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(NodeClient, "_watch_health", broken)
    with pytest.raises(ExceptionGroup) as caught:
        await node_client.run()
    assert caught.group_contains(ZeroDivisionError)


# --- long polls ---


class Threads:
    """A node's RPC threads: an answer takes one while it is made, with `held` until the queue has been full."""

    def __init__(self, fake: FakeNode, count: int, queue: int = 100, *, held: bool = False) -> None:
        self.was_full = threading.Event()
        if not held:
            self.was_full.set()
        self.free = threading.BoundedSemaphore(count)
        self.waiting, self.queue, self.most_waiting = 0, queue, 0
        self.lock = threading.Lock()
        self.tip_hex = A_HEX
        self.changed = threading.Condition()
        fake.answers = {method: self._taking_one(answer) for method, answer in fake.answers.items()}
        fake.answers["waitfornewblock"] = self._taking_one(self._wait)

    def new_tip(self, tip_hex: str) -> None:
        """The chain moves on."""
        with self.changed:
            self.tip_hex = tip_hex
            self.changed.notify_all()

    def _wait(self, timeout_ms: int) -> dict[str, Any]:
        known = self.tip_hex
        with self.changed:
            self.changed.wait_for(lambda: self.tip_hex != known, timeout_ms / 1000)
        return {"hash": self.tip_hex, "height": 1}

    def _taking_one(self, answer: Any) -> Any:
        def answered(*params: Any) -> Any:
            with self.lock:
                if self.waiting >= self.queue and self.free._value == 0:
                    self.was_full.set()
                    return Reply(503, b"Work queue depth exceeded")
                self.waiting += 1
                self.most_waiting = max(self.waiting, self.most_waiting)
            with self.free:
                self.was_full.wait(20)
                with self.lock:
                    self.waiting -= 1
                return answer(*params) if callable(answer) else answer

        return answered


async def test_a_long_poll_tells_of_a_tip_between_two_polls(well: FakeNode, inbox: Inbox) -> None:
    settings = NodeSettings("alpha", "127.0.0.1", well.port, UserPassword("me", "x"), REGTEST, poll_secs=3600)
    node_client = NodeClient(settings, inbox.post, now)
    threads = Threads(well, 4)
    well.answers["getbestblockhash"] = lambda: threads.tip_hex
    task = await _running(node_client)
    for tip_hex in (B_HEX, C_HEX, A_HEX) * 5:  # on a busy machine the poll beside the long poll may be first
        await inbox.until(lambda: bool(inbox.of(NewTip)))
        await asyncio.to_thread(_wait_for, well, "waitfornewblock", 1)
        threads.new_tip(tip_hex)
        await inbox.until(lambda: to_rpc_hex(inbox.of(NewTip)[-1].hash_le) == threads.tip_hex)
        if inbox.of(NewTip)[-1].source == "longpoll":
            break
    assert "longpoll" in [each.source for each in inbox.of(NewTip)]
    await _stop(task)
    await node_client.close()


async def test_a_long_poll_from_before_the_last_change_is_believed_once_checked(well: FakeNode, inbox: Inbox) -> None:
    """Else each tip would be told by the poll that its doubtful answer asks for, for ever."""
    settings = NodeSettings("alpha", "127.0.0.1", well.port, UserPassword("me", "x"), REGTEST, poll_secs=3600)
    node_client = NodeClient(settings, inbox.post, now)
    threads = Threads(well, 4)
    polled_hex = A_HEX
    well.answers["getbestblockhash"] = lambda: polled_hex
    task = await _running(node_client)
    await inbox.next(NewTip)
    await asyncio.to_thread(_wait_for, well, "waitfornewblock", 1)
    polled_hex = B_HEX  # the poll beside the long poll is told, the long poll is not
    await inbox.next(NewTip, lambda each: (each.hash_le, each.source) == (from_rpc_hex(B_HEX), "poll"))
    polled_hex = C_HEX
    threads.new_tip(C_HEX)
    assert (await inbox.next(NewTip, lambda each: each.hash_le == from_rpc_hex(C_HEX))).source == "longpoll"
    await _stop(task)
    await node_client.close()


def _wait_for(well: FakeNode, method: str, more: int) -> None:
    """Return when that many more requests of this method have come in."""
    wanted = _count(well, method) + more
    while _count(well, method) < wanted:
        well.wait_for_request(len(well.requests) + 1)


def _count(well: FakeNode, method: str) -> int:
    return sum(each.method == method for each in list(well.requests))


async def test_long_polls_are_given_up_where_they_take_the_only_thread(
    well: FakeNode, node_client: NodeClient, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """And the node is not lost, templates come, and a block waits for no long poll."""
    Threads(well, 1)
    well.answers["submitblock"] = None
    task = await _running(node_client)
    while "rpcthreads" not in caplog.text:
        await asyncio.sleep(0.01)
    polls = _count(well, "waitfornewblock")
    assert BLOCKED_ALLOWED <= polls <= BLOCKED_ALLOWED + 12, "on a busy machine some begin behind calls of the start"
    await asyncio.to_thread(_wait_for, well, "getbestblockhash", 20)
    assert _count(well, "waitfornewblock") == polls, "plain polling goes on, long polls do not"
    await node_client.fetch_template("now")
    assert inbox.of(TemplateReady)
    assert (await node_client.submit("aa")).raw == "null"
    assert all(each.health.reachable for each in inbox.of(HealthSeen))
    assert caplog.text.count("rpcthreads") == 1, "one warning"
    assert "plain polling" in caplog.text
    await _stop(task)


async def test_long_polls_go_on_where_threads_are_left(well: FakeNode, node_client: NodeClient) -> None:
    Threads(well, 2)
    task = await _running(node_client)
    await asyncio.to_thread(_wait_for, well, "waitfornewblock", BLOCKED_ALLOWED + 2)
    assert {each.params[0] for each in well.requests if each.method == "waitfornewblock"} >= {250, 500, 1000}
    await _stop(task)


async def test_a_full_work_queue_is_neither_a_lost_node_nor_a_lost_block(
    well: FakeNode, node_client: NodeClient, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    threads = Threads(well, 1, queue=1, held=True)
    task = await _running(node_client)
    calls = [node_client.where_is(bytes([n]) * 32, 1) for n in range(3)]
    proposals = [node_client.propose("00") for _ in range(3)]
    results = await asyncio.gather(node_client.fetch_template("now"), node_client.submit("aa"), *proposals, *calls,
                                   return_exceptions=True)  # fmt: skip
    assert not [each for each in results if isinstance(each, NodeNotReady) or "HTTP 503" in str(each)]
    assert inbox.of(TemplateReady)
    assert all(each.health.reachable for each in inbox.of(HealthSeen))
    assert "work queue is full" in caplog.text
    assert threads.most_waiting > 0
    await _stop(task)


async def test_a_block_goes_before_calls_that_can_wait(well: FakeNode, node_client: NodeClient) -> None:
    """At a crowded node nothing that can wait begins while a block is being sent."""
    node_client._gate.crowd("the test says so")
    released = threading.Event()

    def slow_submission(_: str) -> None:
        released.wait(10)

    well.answers["submitblock"] = slow_submission
    sending = asyncio.create_task(node_client.submit("aa"))
    await asyncio.to_thread(well.wait_for_request)
    others = [asyncio.create_task(node_client.fetch_template("now")), asyncio.create_task(node_client.propose("00"))]
    await asyncio.wait(others, timeout=0.2)
    assert [each.method for each in well.requests] == ["submitblock"]
    released.set()
    assert (await sending).raw == "null"
    await asyncio.gather(*others)
    assert _count(well, "getblocktemplate") == 2


async def test_a_crowded_node_that_hangs_is_still_noticed(
    well: FakeNode, node_client: NodeClient, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_gate, "TURN_SECS", 0.1)
    node_client._gate.crowd("the test says so")
    well.answers["getblocktemplate"] = Silence()
    fetching = asyncio.create_task(node_client.fetch_template("now"))
    await asyncio.to_thread(_wait_for, well, "getblocktemplate", 1)
    task = await _running(node_client)
    well.answers["getbestblockhash"] = Drop()
    await inbox.next(HealthSeen, lambda each: not each.health.reachable)
    await _stop(task)
    await node_client.close()
    await fetching


async def test_long_polls_back_off_from_a_node_that_answers_at_once(well: FakeNode, node_client: NodeClient) -> None:
    """A stopping node does."""
    well.answers["waitfornewblock"] = {"hash": A_HEX, "height": 1}
    task = await _running(node_client)
    await asyncio.to_thread(_wait_for, well, "waitfornewblock", 1)
    await asyncio.sleep(0.5)
    await _stop(task)
    assert _count(well, "waitfornewblock") < 8


@pytest.mark.parametrize("answer", [error(-32601, "Method not found", 404), Reply(403)])
async def test_a_node_without_long_polls_is_polled(
    well: FakeNode, node_client: NodeClient, inbox: Inbox, caplog: pytest.LogCaptureFixture, answer: Reply
) -> None:
    well.answers["waitfornewblock"] = answer
    task = await _running(node_client)
    await inbox.next(NewTip)
    well.answers["getbestblockhash"] = B_HEX
    await inbox.next(NewTip, lambda each: each.hash_le == from_rpc_hex(B_HEX))
    while "no long polling" not in caplog.text:
        await asyncio.sleep(0.01)
    await _stop(task)


# --- blocks ---


async def test_submissions_do_not_wait_for_each_other_or_anything_else(well: FakeNode, node_client: NodeClient) -> None:
    well.answers["submitblock"] = lambda block_hex: Silence() if block_hex == "aa" else "inconclusive"
    hanging = asyncio.create_task(node_client.submit("aa"))
    await asyncio.to_thread(well.wait_for_request)
    reply = await node_client.submit("bb")
    assert (reply.answer, reply.raw) == (Answer.HELD, "inconclusive")
    assert not hanging.done()
    await node_client.close()
    assert (await hanging).answer is Answer.UNKNOWN


# --- trying whether a block would be taken ---


async def test_submitting_is_tried_at_the_start_and_when_the_node_is_back(
    well: FakeNode, node_client: NodeClient, inbox: Inbox
) -> None:
    well.answers["submitblock"] = "high-hash"
    task = await _running(node_client)
    assert not (await inbox.next(SubmittingTried)).problem
    away = threading.Event()
    well.answers["getbestblockhash"] = lambda: A_HEX if away.is_set() else Drop()
    await inbox.next(HealthSeen, lambda each: not each.health.reachable)
    well.answers["submitblock"] = lambda *_: Reply(403)
    away.set()
    problem = (await inbox.next(SubmittingTried, lambda each: bool(each.problem))).problem
    assert "does not allow user me to call submitblock (HTTP 403); add it to rpcwhitelist" in problem
    await _stop(task)


async def test_submitting_is_tried_again_where_the_node_takes_another_login(
    well: FakeNode, inbox: Inbox, tmp_path: Path
) -> None:
    """The node was restarted between two polls: a new cookie is what shows it."""
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one")
    login = "__cookie__:one"
    tips = well.answers["getbestblockhash"]
    well.answers["submitblock"] = "high-hash"
    well.answers["getbestblockhash"] = lambda: tips if well.requests[-1].login == login else Reply(401)
    settings = NodeSettings("alpha", "127.0.0.1", well.port, CookieFile((cookie,)), REGTEST, poll_secs=0.02)
    node_client = NodeClient(settings, inbox.post, now)
    task = await _running(node_client)
    await inbox.until(lambda: len(inbox.of(SubmittingTried)) == 1)
    cookie.write_text("__cookie__:two")
    login = "__cookie__:two"
    await inbox.until(lambda: len(inbox.of(SubmittingTried)) == 2)
    await _stop(task)
    await node_client.close()


async def test_where_nothing_is_submitted_nothing_is_tried(
    well: FakeNode, node_client: NodeClient, inbox: Inbox
) -> None:
    node_client.settings = replace(node_client.settings, submits=False)
    task = await _running(node_client)
    await inbox.next(HealthSeen)
    await inbox.next(NewTip)
    assert not [each for each in well.requests if each.method == "submitblock"]
    await _stop(task)


OURS = Header(0x20000000, b"\2" * 32, b"\3" * 32, 100, 0x207FFFFF, 7)
OURS_LE, OURS_HEX = OURS.hash_le(), to_rpc_hex(OURS.hash_le())


async def test_questions_about_blocks(well: FakeNode, node_client: NodeClient) -> None:
    well.answers |= {"getblockheader": told_header(OURS, 1), "getblockhash": OURS_HEX}
    assert (await node_client.where_is(OURS_LE, 1)).confirmations == 1
    assert (await node_client.tip_facts(OURS_LE)).height == 1
    well.answers["getblockheader"] = Drop()
    with pytest.raises(NodeUnreachable):
        await node_client.where_is(OURS_LE, 1)


async def test_a_block_is_only_confirmed_by_two_looks_on_two_connections(
    well: FakeNode, node_client: NodeClient
) -> None:
    well.answers |= {"getblockheader": told_header(OURS, 1), "getblockhash": OURS_HEX}
    await node_client.where_is(OURS_LE, 1)
    assert well.connections == 2
    looks = [told_header(OURS, 1), told_header(OURS, 1, confirmations=-1)]
    well.answers["getblockheader"] = lambda _: looks.pop(0)
    with pytest.raises(NodeError, match="disagree"):
        await node_client.where_is(OURS_LE, 1)


BLOCK_HEX = OURS.pack().hex() + "00"


@pytest.mark.parametrize(
    ("answers", "confirmations", "meant"),
    [
        ([None], 1, Answer.ACCEPTED),
        ([None], -1, Answer.HELD),  # overtaken at once; the chain decides
        ([None], None, Answer.HELD),
        (["high-hash", "high-hash"], None, Answer.INVALID),
        (["high-hash", "high-hash"], -1, Answer.INVALID),
        (["high-hash", "high-hash"], 1, Answer.HELD),
        (["high-hash", "duplicate"], 1, Answer.HELD),
        (["high-hash", None], 1, Answer.ACCEPTED),
        (["high-hash", Drop(), Drop()], None, Answer.UNKNOWN),
        (["high-hash", error(-28)], None, Answer.RETRY),
        ([error(-22), "duplicate"], 1, Answer.HELD),
        (["bb" * 32], None, Answer.UNKNOWN),
    ],
)
async def test_one_answer_never_ends_the_care_for_a_block(
    well: FakeNode, node_client: NodeClient, answers: list[Any], confirmations: int | None, meant: Answer
) -> None:
    told = error(-5) if confirmations is None else told_header(OURS, 1, confirmations)
    well.answers |= {"submitblock": lambda _: answers.pop(0), "getblockheader": told}
    assert (await node_client.submit(BLOCK_HEX)).answer is meant
    assert not answers or all(isinstance(each, Drop) for each in answers)


@pytest.mark.parametrize("chain", [{"chain": "testnet4"}, Drop()])
async def test_a_node_that_was_started_on_another_network_neither_rejects_nor_loses_a_block(
    well: FakeNode, node_client: NodeClient, chain: Any
) -> None:
    well.answers |= {"submitblock": "high-hash", "getblockheader": error(-5), "getblockchaininfo": chain}
    reply = await node_client.submit(BLOCK_HEX)
    assert reply.answer in (Answer.RETRY, Answer.UNKNOWN)
    assert reply.raw.startswith("high-hash, ")
    with pytest.raises(NodeError):
        await node_client.where_is(OURS_LE, 1)


async def test_an_answer_to_a_proposal_is_repeated(well: FakeNode, node_client: NodeClient) -> None:
    answers: list[Any] = ["bad-cb-amount", "bad-cb-amount", "bad-cb-amount", None, None, None]
    well.answers["getblocktemplate"] = lambda _: answers.pop(0)
    found = [(await node_client.propose("00")).answer for _ in range(3)]
    assert found == [Answer.INVALID, Answer.UNKNOWN, Answer.ACCEPTED]


async def test_the_payout_is_asked_of_the_node(well: FakeNode, node_client: NodeClient) -> None:
    well.answers["validateaddress"] = {"isvalid": True, "scriptPubKey": "0014" + "11" * 20}
    assert (await node_client.payout("bcrt1qaddress")).script_pubkey == b"\x00\x14" + b"\x11" * 20
    with pytest.raises(PayoutError, match="no wallet"):
        await node_client.payout("")


# --- the end ---


@pytest.mark.parametrize("closed_first", [True, False])
async def test_what_never_raises_does_not_when_the_run_ends(
    well: FakeNode, node_client: NodeClient, closed_first: bool
) -> None:
    """A look after the node was closed once ended the daemon with an internal error."""
    well.answers |= dict.fromkeys(("submitblock", "getblocktemplate", "getblockchaininfo"), Silence())
    if closed_first:
        await node_client.close()
        assert not (await node_client.look()).reachable
        return
    looking = asyncio.create_task(node_client.look())
    sending = [asyncio.create_task(send("00")) for send in (node_client.submit, node_client.propose)]
    await asyncio.sleep(0.2)
    await node_client.close()
    assert not (await looking).reachable
    assert [(await each).answer for each in sending] == [Answer.UNKNOWN] * 2


async def test_close_ends_whatever_hangs(well: FakeNode, node_client: NodeClient) -> None:
    well.answers["getblocktemplate"] = Silence()
    task = await _running(node_client)
    waiting = asyncio.create_task(node_client.where_is(bytes(32), 1))
    await asyncio.to_thread(well.wait_for_request, 3)
    await _stop(task)
    await node_client.close()
    results = await asyncio.gather(waiting, return_exceptions=True)
    assert isinstance(results[0], SolominerError)
    with pytest.raises(NodeUnreachable):
        await node_client.where_is(bytes(32), 1)
