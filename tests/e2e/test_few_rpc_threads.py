"""Real nodes with few RPC threads or a short work queue: mining goes on, and no block waits behind a call of ours."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from solominer.chain.networks import REGTEST
from solominer.errors import NodeError
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from solominer.node.rpc import RpcClient
from solominer.node.template import template_request
from tests.e2e.harness import RunningMiner, config_for
from tests.e2e.mined import current_template, mine, settings_of

pytestmark = pytest.mark.e2e


@contextmanager
def node_with(binary: BitcoindBinary, folder: Path, *args: str) -> Iterator[PrivateNode]:
    """A private node with these arguments."""
    with PrivateNode(binary, folder / "node", extra_args=args) as node:
        yield node


@contextmanager
def foreign_long_poll(node: PrivateNode) -> Iterator[threading.Thread]:
    """Another program's long poll (BIP 22), which takes one RPC thread until the tip changes."""
    with settings_of(node).connect() as client:
        client.call("getbestblockhash")
        request = template_request(REGTEST)
        request["longpollid"] = client.call("getblocktemplate", template_request(REGTEST))["longpollid"]

        def wait() -> None:
            with suppress(NodeError):  # the test ends it
                client.call("getblocktemplate", request, timeout_secs=60)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        try:
            yield thread
        finally:
            client.interrupt()
            thread.join(10)


FEW = [("-rpcthreads=1",), ("-rpcthreads=1", "-rpcworkqueue=1")]


@pytest.mark.parametrize("args", FEW, ids=" ".join)
async def test_one_thread_is_enough_to_mine(
    args: tuple[str, ...],
    bitcoind_binary: BitcoindBinary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with node_with(bitcoind_binary, tmp_path, *args) as node:
        config = config_for(node, tmp_path / "data", zmq={}, poll_secs=0.1)
        async with RunningMiner(monkeypatch, config) as miner:
            await miner.mine(5)
            await miner.until(lambda: "rpcthreads=4" in caplog.text)
            await miner.mine(5)
        assert node.call("getblockcount") >= 10
    assert "is unreachable" not in caplog.text
    assert caplog.text.count("rpcthreads=4") == 1


async def test_two_threads_and_two_long_polls(
    bitcoind_binary: BitcoindBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program's long poll has one thread: ours would take the other one, and leaves it."""
    with node_with(bitcoind_binary, tmp_path, "-rpcthreads=2") as node:
        node.call("generatetodescriptor", 1, "raw(51)")
        config = config_for(node, tmp_path / "data", zmq={}, poll_secs=0.1)
        with foreign_long_poll(node) as other:
            async with RunningMiner(monkeypatch, config, unsolvable=True) as miner:
                await miner.until(lambda: "plain polling" in caplog.text)
                await miner.until(lambda: miner.coordinator.working)
                assert other.is_alive(), "the other program still waits"
                assert "is unreachable" not in caplog.text
                with settings_of(node).connect() as client:
                    block = mine(current_template(client))
                    under_way = [each["method"] for each in client.call("getrpcinfo")["active_commands"]]
                assert "waitfornewblock" not in under_way, "a thread is free for a block"
                (node_client,) = miner.executor._nodes.values()
                reply = await node_client.submit(block.block_hex)
                assert reply.raw == "null"


def test_a_node_keeps_the_thread_of_a_call_whose_connection_is_closed(
    bitcoind_binary: BitcoindBinary, tmp_path: Path
) -> None:
    """The reason for short long polls: the node's own long poll cannot be taken back."""
    with node_with(bitcoind_binary, tmp_path, "-rpcthreads=1") as node:
        node.call("generatetodescriptor", 1, "raw(51)")
        with foreign_long_poll(node):
            _until_blocked(settings_of(node).connect)
        with settings_of(node).connect() as client, pytest.raises(NodeError):
            client.call("getbestblockhash", timeout_secs=1.0)


def _until_blocked(connect: Callable[[], RpcClient]) -> None:
    """Return when the node answers nobody any more."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with connect() as client:
                client.call("getbestblockhash", timeout_secs=1.0)
        except NodeError:
            return
    raise AssertionError("the long poll took no thread")


async def test_enough_threads_keep_long_polls(
    bitcoind_binary: BitcoindBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with node_with(bitcoind_binary, tmp_path, "-rpcthreads=4") as node:
        config = config_for(node, tmp_path / "data", zmq={}, poll_secs=0.5)
        async with RunningMiner(monkeypatch, config) as miner:
            await miner.mine(3)
            while "(by longpoll)" not in caplog.text:  # the call beside a long poll may see a tip first
                await miner.mine(1)
    assert "rpcthreads=4" not in caplog.text
