"""RPC threads: calls run in order in one thread, errors come back to whoever awaits, and closing ends what hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from solominer.errors import NodeUnreachable, RpcFailed
from solominer.node.rpc import RpcClient
from solominer.node.rpc_thread import RpcThread
from tests.node.fake_node import FakeNode, Silence, error, result


async def test_calls_run_in_order_in_one_thread(fake: FakeNode, client: RpcClient) -> None:
    thread = RpcThread("test", client)
    fake.then(result(1), result(2))
    assert list(
        await asyncio.gather(
            thread.run(lambda client: client.call("first")), thread.run(lambda client: client.call("second", "x"))
        )
    ) == [1, 2]
    assert [(each.method, each.params) for each in fake.requests] == [("first", []), ("second", ["x"])]
    threads = {await thread.run(lambda _: threading.current_thread()) for _ in range(3)}
    assert len(threads) == 1
    assert threads.pop().daemon
    await _end(thread)


async def test_errors_come_back_and_the_thread_goes_on(fake: FakeNode, client: RpcClient) -> None:
    thread = RpcThread("test", client)
    fake.then(error(-5), result("fine"))
    with pytest.raises(RpcFailed):
        await _echo(thread)
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda _: 1 // 0)
    assert await _echo(thread) == "fine"
    await _end(thread)


async def test_closing_ends_what_hangs_and_what_waits(fake: FakeNode, client: RpcClient) -> None:
    thread = RpcThread("test", client)
    fake.then(Silence())
    calls = [asyncio.create_task(_echo(thread, timeout_secs=60)) for _ in range(2)]
    await asyncio.to_thread(fake.wait_for_request)
    thread.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in results] == [NodeUnreachable, NodeUnreachable]
    assert len(fake.requests) == 1
    with pytest.raises(NodeUnreachable, match="closed"):
        await _echo(thread)
    await _end(thread)


async def test_what_was_cancelled_while_it_waited_is_not_asked(fake: FakeNode, client: RpcClient) -> None:
    thread = RpcThread("test", client)
    gate = threading.Event()
    blocking = asyncio.create_task(thread.run(lambda _: gate.wait(10)))
    waiting = asyncio.create_task(_echo(thread))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    gate.set()
    assert await blocking
    fake.answers["last"] = "fine"
    assert await thread.run(lambda client: client.call("last")) == "fine"
    assert [each.method for each in fake.requests] == ["last"]
    await _end(thread)


async def test_what_was_never_used_closes_without_a_thread(client: RpcClient) -> None:
    before = threading.active_count()
    RpcThread("test", client).close()
    assert threading.active_count() == before


def test_a_call_that_hangs_does_not_hold_the_interpreter(fake: FakeNode) -> None:
    """The process ends while a thread waits for an answer that never comes."""
    fake.then(Silence())
    program = f"""
import asyncio
from solominer.node.credentials import UserPassword
from solominer.node.rpc_thread import RpcThread
from solominer.node.rpc import RpcClient

async def main():
    thread = RpcThread("test", RpcClient("127.0.0.1", {fake.port}, UserPassword("me", "x"), timeout_secs=600))
    await asyncio.wait([asyncio.create_task(thread.run(lambda client: client.call("echo")))], timeout=0.2)

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


async def _echo(thread: RpcThread, timeout_secs: float | None = None) -> Any:
    return await thread.run(lambda client: client.call("echo", timeout_secs=timeout_secs))


async def _end(thread: RpcThread) -> None:
    """Close it and wait for its thread."""
    thread.close()
    if thread._thread is not None:
        await asyncio.to_thread(thread._thread.join, 10)
        assert not thread._thread.is_alive()
