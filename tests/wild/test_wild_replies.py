"""A node, or what sits before it, that answers anything: no part of the daemon ends, no block is settled wrongly, and
mining goes on as soon as the answers are in order again.

FUZZ_REPLIES sets how many wild replies are sent (20000 in a nightly run), FUZZ_SEED which.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.networks import REGTEST, SIGNET
from solominer.doctor.check import Check, run_checks
from solominer.doctor.node_checks import NodeUnderTest
from solominer.errors import SolominerError
from solominer.node.history import read_history
from solominer.node.payout import payout_to, regtest_payout
from solominer.node.rpc import CookieRpc, RpcClient
from solominer.node.signing import BlockSigner, signer_for
from solominer.node.submit import check_reply, submit_block
from solominer.node.zmq_hints import published_by
from solominer.work.actions import FetchTipHeader, LocateBlock, LookAtNode, ProposeJob, RefreshTemplate, SendBlock
from solominer.work.found import BlockState
from solominer.work.payout import WHOLE
from tests.node.fake_chain import told_header
from tests.node.fake_node import Reply, Step, error, result
from tests.wild.chain_node import ADDRESS, CHALLENGE, ChainNode
from tests.wild.rig import Rig, running
from tests.wild.values import encoded

REPLIES = int(os.environ.get("FUZZ_REPLIES", "600"))
SEED = int(os.environ.get("FUZZ_SEED", "11"))
SOURCES = Path(__file__).parents[2] / "solominer"
UNSETTLED = (BlockState.FOUND, BlockState.SENT)

pytestmark = pytest.mark.timeout(120 + REPLIES // 8)


@pytest.fixture
def node() -> Iterator[ChainNode]:
    """A fake node that listens."""
    with ChainNode() as running_node:
        yield running_node


def test_every_method_that_is_called_is_answered_wildly(node: ChainNode) -> None:
    """A new call needs a true answer in ChainNode and, below, somebody who makes it."""
    called = {
        method
        for path in SOURCES.rglob("*.py")
        for method in re.findall(r'\.(?:call|ask|ask_optional|call_raw)\(\s*"([a-z]+)"', path.read_text("utf-8"))
    }
    assert called == set(node.true) == {*_ACTIONS, *_DIRECT}


def _by_locating(rig: Rig, hash_le: bytes) -> None:
    tracked = rig.coordinator.blocks.open[hash_le]
    rig.executor.do([LocateBlock("a", hash_le, tracked.block.height)])


def _by_proposing(rig: Rig, hash_le: bytes) -> None:
    if rig.coordinator.job is not None and random.random() < 0.5:
        rig.executor.do([ProposeJob("a", rig.coordinator.job)])
    else:
        rig.executor.do([RefreshTemplate("a", "fuzz")])


def _by_header(rig: Rig, hash_le: bytes) -> None:
    if random.random() < 0.5:
        rig.executor.do([FetchTipHeader("a", rig.node.chain[-1].hash_le())])
    else:
        _by_locating(rig, hash_le)


def _by_looking(rig: Rig, hash_le: bytes) -> None:
    rig.executor.do([LookAtNode("a")])


def _by_sending(rig: Rig, hash_le: bytes) -> None:
    rig.executor.do([SendBlock("a", rig.sent[hash_le], 1)])


def _by_itself(rig: Rig, hash_le: bytes) -> None:
    """The node client asks all the time."""


_ACTIONS: dict[str, Callable[[Rig, bytes], None]] = {
    "getblockchaininfo": _by_looking,
    "getnetworkinfo": _by_looking,
    "getdeploymentinfo": _by_looking,
    "getblockhash": _by_locating,
    "getblockheader": _by_header,
    "getblocktemplate": _by_proposing,
    "getbestblockhash": _by_itself,
    "waitfornewblock": _by_itself,
    "submitblock": _by_sending,
}


def _new_wallet(rig: Rig, client: RpcClient) -> None:
    rig.node.true["loadwallet"] = lambda name: error(-18)
    regtest_payout(client, REGTEST)


def _new_address(rig: Rig, client: RpcClient) -> None:
    rig.node.true["getaddressesbylabel"] = lambda label: error(-11)
    regtest_payout(client, REGTEST)


def _sign(rig: Rig, client: RpcClient) -> None:
    BlockSigner(bytes.fromhex(CHALLENGE)).sign(client, bytes(72))


def _wallet_check(rig: Rig, client: RpcClient) -> None:
    checked = NodeUnderTest(rig.settings, payees=[(ADDRESS, WHOLE)])
    try:
        list(run_checks([Check("wallet", checked._wallet)]))
    finally:
        checked.close()


def _private(rig: Rig, client: RpcClient) -> None:
    cookie = rig.recorder.tree.root / "cookie"
    cookie.write_text("a:b")
    CookieRpc("127.0.0.1", rig.node.port, cookie).call("getblockcount")


_DIRECT: dict[str, Callable[[Rig, RpcClient], Any]] = {
    "validateaddress": lambda rig, client: payout_to(client, ADDRESS, REGTEST),
    "listwallets": lambda rig, client: regtest_payout(client, REGTEST),
    "loadwallet": lambda rig, client: regtest_payout(client, REGTEST),
    "createwallet": _new_wallet,
    "getaddressesbylabel": lambda rig, client: regtest_payout(client, REGTEST),
    "getnewaddress": _new_address,
    "walletprocesspsbt": _sign,
    "finalizepsbt": _sign,
    "getaddressinfo": _wallet_check,
    "getzmqnotifications": lambda rig, client: published_by(client),
    "getblockcount": _private,
}
_ALSO: dict[str, Callable[[Rig, RpcClient], Any]] = {
    "getblocktemplate": lambda rig, client: signer_for(client, SIGNET),
    "getblockheader": lambda rig, client: read_history(client, REGTEST),
    "getblockhash": lambda rig, client: read_history(client, REGTEST),
    "getblockchaininfo": lambda rig, client: read_history(client, REGTEST),
    "submitblock": lambda rig, client: check_reply(client, REGTEST, "00" * 81, submit_block(client, "00" * 81)),
}
"""What asks for the same in other ways, now and then."""


async def _one(rig: Rig, rng: random.Random, method: str, hash_le: bytes) -> None:
    """One wild reply to a method, by whoever asks."""
    direct = _DIRECT.get(method) or (_ALSO.get(method) if rng.randrange(8) == 0 else None)
    known = dict(rig.node.true)
    rig.node.go_wild(method, rng)
    if direct is None:
        _ACTIONS[method](rig, hash_le)
        await rig.until(lambda: rig.node.next_wild is None, f"nobody asked for {method}")
        return

    def ask() -> None:
        with suppress(SolominerError), rig.settings.connect() as client:
            direct(rig, client)

    await asyncio.to_thread(ask)
    rig.node.calm()
    rig.node.true = known


async def test_nothing_wild_ends_a_part_or_settles_a_block(
    node: ChainNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(SEED)
    async with running(node, tmp_path, monkeypatch) as rig:
        tracked = await rig.found()
        blocks, hash_le = rig.coordinator.blocks, tracked.block.hash_le
        methods = [*_ACTIONS, *_DIRECT]
        for number in range(REPLIES * 3 // 4):
            await _one(rig, rng, methods[number % len(methods)], hash_le)
            assert blocks.open.get(hash_le) is tracked, f"settled as {tracked.state} though no node has it"
            assert tracked.state in UNSETTLED, f"{tracked.state} though no node has it"
            if number % 50 == 0:
                rig.work_again()
        node.calm()
        node.withhold = False
        await rig.until(lambda: to_rpc_hex(hash_le) in node.held, "the block was not sent again")
        await rig.until(lambda: tracked.state is BlockState.ACCEPTED, "the node's chain was not believed")
        await rig.mining()

        for number in range(REPLIES - REPLIES * 3 // 4):
            await _one(rig, rng, rng.choice(list(_ACTIONS)), hash_le)
            assert blocks.open.get(hash_le) is tracked, f"settled as {tracked.state} at one confirmation"
            assert tracked.state in (BlockState.ACCEPTED, BlockState.SENT)
            if number % 50 == 0:
                rig.work_again()
        node.calm()
        node.add_block()
        await rig.until(lambda: tracked.state is BlockState.CONFIRMED, "two blocks deep, and not seen")
        await rig.mining()
        assert set(node.sent) == set(node.true)
        assert sum(node.sent.values()) == REPLIES


def _another_header(node: ChainNode) -> Callable[[str, Any], Step | None]:
    """Asked for a header, that of the first block, under the right id."""
    return lambda method, true: result(told_header(node.chain[0], 0, 100)) if method == "getblockheader" else None


def _renamed_header(node: ChainNode) -> Callable[[str, Any], Step | None]:
    """The same, with the hash and height that were asked for written into it."""

    def mixed(method: str, true: Any) -> Step | None:
        if method != "getblockheader":
            return None
        asked_for = node.requests[-1].params[0]
        return result({**told_header(node.chain[1], node.height + 1, 100), "hash": asked_for})

    return mixed


def _other_id(node: ChainNode) -> Callable[[str, Any], Step | None]:
    """A header as if for us, to another request."""

    def mixed(method: str, true: Any) -> Step | None:
        body = {"result": told_header(node.chain[1], 1, 100), "error": None, "id": 1}
        return Reply(200, encoded(body)) if method == "getblockheader" else None

    return mixed


def _each_gets_the_one_before(node: ChainNode) -> Callable[[str, Any], Step | None]:
    """Every reply is the one to the request before it, under the right id."""
    last: list[Any] = [None]

    def mixed(method: str, true: Any) -> Step | None:
        answer, last[0] = last[0], true
        return answer if isinstance(answer, Step) else result(answer)

    return mixed


def _any_of_the_last(node: ChainNode) -> Callable[[str, Any], Step | None]:
    """Every other reply is one of the last fifty, whatever the question was."""
    rng, kept = random.Random(SEED), [None]

    def mixed(method: str, true: Any) -> Step | None:
        kept.append(true)
        answer = rng.choice(kept[-50:])
        return None if rng.random() < 0.5 else answer if isinstance(answer, Step) else result(answer)

    return mixed


@pytest.mark.parametrize(
    "mixing", [_another_header, _renamed_header, _other_id, _each_gets_the_one_before, _any_of_the_last]
)
async def test_a_peer_that_mixes_up_replies_never_makes_a_block_confirmed(
    node: ChainNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixing: Callable[[ChainNode], Any]
) -> None:
    async with running(node, tmp_path, monkeypatch) as rig:
        tracked = await rig.found()
        hash_le = tracked.block.hash_le
        node.mix_up(mixing(node))
        asked = len(node.requests)
        states = set()

        def enough() -> bool:
            states.add(tracked.state)
            assert hash_le in rig.coordinator.blocks.open, f"settled as {tracked.state}"
            return len(node.requests) >= asked + 300

        await rig.until(enough, "too few requests")
        assert states <= set(UNSETTLED)
        node.mix_up(lambda method, true: None)
        node.withhold = False
        await rig.until(lambda: to_rpc_hex(hash_le) in node.held, "the block was not sent again")
        await rig.until(lambda: tracked.state is BlockState.ACCEPTED, "the node's chain was not believed")
        await rig.mining()
