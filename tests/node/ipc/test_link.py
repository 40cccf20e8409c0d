"""The connection to a node's mining interface: handshake and probe, tips, templates, and every way it ends."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.networks import MAINNET
from solominer.errors import IpcFailed
from solominer.node.demo import synthetic_reply
from solominer.node.ipc import connection, probe, session
from solominer.node.ipc.connection import IpcLink
from solominer.work.raw_template import USUAL_RESERVE, Reserve
from tests.node.ipc.mock_node import Behaviour, MockNode
from tests.work.stated import stated_of

FULL = stated_of(synthetic_reply(MAINNET, seed=1, transactions=12))
EMPTY = stated_of(synthetic_reply(MAINNET, seed=1, transactions=0))
TIP, NEXT = b"\1" * 32, b"\2" * 32


@pytest.fixture
def node(tmp_path: Path) -> Iterator[MockNode]:
    """A node of the newest release that is well."""
    with MockNode(tmp_path / "node.sock", Behaviour(full=FULL, empty=EMPTY, tip_le=TIP)) as running:
        yield running


class Watched:
    """A link and what it told."""

    def __init__(self, path: Path) -> None:
        self.told: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.link = IpcLink(
            "alpha",
            path,
            Reserve(2500, 80),
            joined=lambda *args: self.told.put_nowait(("joined", *args)),
            left=lambda reason: self.told.put_nowait(("left", reason)),
            hinted=lambda *args: self.told.put_nowait(("hinted", *args)),
        )

    async def next(self) -> tuple[Any, ...]:
        """What it tells next."""
        return await asyncio.wait_for(self.told.get(), 20)

    async def read(self, secs: float = 20.0) -> Any:
        """A template."""
        return await self.link.ask(lambda open_: open_.read(USUAL_RESERVE), secs)


@pytest.fixture
async def watched(node: MockNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    """Its link, which tries again quickly; not started."""
    monkeypatch.setattr(connection, "ABSENT_WAIT_SECS", 0.02)
    monkeypatch.setattr(connection, "REFUSED_WAIT_SECS", 0.05)
    made = Watched(node.path)
    yield made
    made.link.close()
    thread = made.link._thread
    if thread is not None:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


async def test_joins_reads_and_hears_of_tips(node: MockNode, watched: Watched) -> None:
    watched.link.start()
    assert await watched.next() == ("joined", "32", TIP, 100)
    assert await watched.read() == FULL
    assert sorted(node.does.options[1:]) == [(False, 2500, 80, False), (True, 8000, 400, False)]  # behind the probe's
    for tip_le in (NEXT, TIP, NEXT):
        node.new_tip(tip_le)
        what, seen_le, empty = await watched.next()
        assert (what, seen_le, empty.read_header().prevhash_le) == ("hinted", tip_le, tip_le)
        assert empty == replace(EMPTY, header=empty.header, block=b"")
    used = {each.split(" on ")[1] for each in node.does.threads}
    assert used == {"solominer-waiting", "solominer-reading", "solominer-submitting"}


@pytest.mark.parametrize("release", [31, 32])
async def test_both_releases_pass_the_probe(node: MockNode, watched: Watched, release: int) -> None:
    node.does.release = release
    watched.link.start()
    assert (await watched.next())[:2] == ("joined", str(release))
    assert node.does.destroyed == 1
    assert node.does.solutions == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"release": 30}, "unimplemented"),
        ({"release": 33}, "no known way to submit"),
        ({"accepts_anything": True}, "accepted a block without a coinbase"),
        ({"failing": {"submitSolution"}}, "a trial submission failed"),
        ({"failing": {"getBlock"}}, "failed: remote exception"),
        ({"nothing": {"createNewBlock"}}, "makes no template"),
        ({"nothing": {"getTip"}}, "no tip yet"),
        ({"failing": {"waitNext"}}, "failed: remote exception"),
        ({"sleeps": {"getTxFees": 9.0}}, "no answer to the trial"),
        ({"sleeps": {"construct": 9.0}}, "no answer within"),
    ],
)
async def test_a_node_that_cannot_do_everything_is_refused_at_once(
    node: MockNode, watched: Watched, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    for name, value in change.items():
        setattr(node.does, name, value)
    with monkeypatch.context() as hurried:
        if "sleeps" in change:
            hurried.setattr(probe, "PROBE_SECS", 0.2)
            hurried.setattr(session, "CONNECT_SECS", 0.2)
        watched.link.start()
        what, told = await watched.next()
    assert what == "left"
    assert reason in told
    with pytest.raises(IpcFailed):
        await watched.read()
    node.does.__dict__.update(Behaviour(full=FULL, empty=EMPTY, tip_le=TIP).__dict__)  # it is updated
    while (await watched.next())[0] != "joined":
        pass


async def test_a_socket_that_is_not_there_is_tried_again(node: MockNode, watched: Watched) -> None:
    node.stop()
    watched.link.start()
    what, reason = await watched.next()
    assert (what, reason) == ("left", f"cannot open {node.path}: No such file or directory")
    node.start()
    while (await watched.next())[0] != "joined":
        pass
    assert await watched.read() == FULL


async def test_the_end_of_the_node_is_noticed_at_once(node: MockNode, watched: Watched) -> None:
    watched.link.start()
    await watched.next()
    for _ in range(3):
        began = time.monotonic()
        await asyncio.to_thread(node.stop)
        assert (await watched.next())[0] == "left"
        assert time.monotonic() - began < session.WAIT_SECS, "it did not wait for the end of a wait"
        with pytest.raises(IpcFailed):
            await watched.read()
        gc.collect()
        node.start()
        while (await watched.next())[0] != "joined":
            pass
        assert await watched.read() == FULL


async def test_an_answer_under_way_fails_when_the_node_ends(node: MockNode, watched: Watched) -> None:
    watched.link.start()
    await watched.next()
    node.does.sleeps["getBlock"] = 9.0
    reading = asyncio.create_task(watched.read())
    while node.does.called.count("getBlock") < 2:  # the first is the probe's
        await asyncio.sleep(0.01)
    await asyncio.to_thread(node.stop)
    with pytest.raises(IpcFailed, match="disconnected"):
        await reading


async def test_a_slow_answer_drops_the_connection_and_it_comes_back(node: MockNode, watched: Watched) -> None:
    watched.link.start()
    await watched.next()
    node.does.sleeps["createNewBlock"] = 9.0
    began = time.monotonic()
    with pytest.raises(IpcFailed, match=r"no answer within 0\.1 s"):
        await watched.read(secs=0.1)
    assert time.monotonic() - began < 5
    assert await watched.next() == ("left", "no answer within 0.1 s")
    node.does.sleeps.clear()
    while (await watched.next())[0] != "joined":
        pass
    assert await watched.read() == FULL


async def test_reading_does_not_wait_for_the_wait(
    node: MockNode, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.link.start()
    await watched.next()
    while "waitNext" not in node.does.called:
        await asyncio.sleep(0.01)
    assert await watched.read(secs=session.WAIT_SECS / 2) == FULL


async def test_a_wait_that_times_out_is_no_news(
    node: MockNode, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WAIT_SECS", 1.0)
    watched.link.start()
    await watched.next()
    while node.does.called.count("waitNext") < 3:
        await asyncio.sleep(0.01)
    assert watched.told.empty()


async def test_a_wait_without_result_means_that_the_node_stops(node: MockNode, watched: Watched) -> None:
    watched.link.start()
    await watched.next()
    node.does.nothing.add("waitNext")
    while node.does.called.count("waitNext") < 2:  # the first is the probe's
        await asyncio.sleep(0.01)
    node.new_tip(NEXT)
    assert await watched.next() == ("left", "the node stops")


async def test_a_hanging_wait_is_given_up(node: MockNode, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "WAIT_SECS", 0.05)
    watched.link.start()
    await watched.next()
    node.does.sleeps["waitNext"] = 9.0
    assert await watched.next() == ("left", "no answer within 0.1 s")


async def test_old_templates_are_destroyed(node: MockNode, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.link.start()
    await watched.next()
    await watched.read()
    assert node.does.destroyed == 1  # the probe's
    monkeypatch.setattr(session, "KEEP_SECS", 0.0)
    await watched.read()
    while node.does.destroyed < 3:
        await asyncio.sleep(0.005)


async def test_a_failed_read_leaves_the_connection(node: MockNode, watched: Watched) -> None:
    watched.link.start()
    await watched.next()
    node.does.failing.add("getTxSigops")
    for _ in range(3):
        with pytest.raises(IpcFailed, match="failed: remote exception"):
            await watched.read()
        gc.collect()
    node.does.failing.clear()
    node.does.nothing.add("createNewBlock")
    with pytest.raises(IpcFailed, match="makes no template"):
        await watched.read()
    node.does.nothing.clear()
    node.does.full = replace(FULL, header=b"short")
    assert (await watched.read()).header == b"short"  # judged by who builds the template


async def test_without_pycapnp_it_says_what_to_install(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise IpcFailed("pycapnp is not installed", 'pip install "solominer[ipc]"')

    monkeypatch.setattr(connection, "schema", missing)
    watched.link.start()
    what, reason = await watched.next()
    assert what == "left"
    assert 'pip install "solominer[ipc]"' in reason


async def test_an_answer_that_cannot_be_read_is_a_failure(node: MockNode, watched: Watched) -> None:
    """pycapnp reads at most 64 MiB of a message."""
    watched.link.start()
    await watched.next()
    node.does.full = replace(FULL, block=bytes(70 << 20))
    with pytest.raises(IpcFailed):
        await watched.read(secs=10.0)


async def test_a_fault_of_the_thread_is_told(
    node: MockNode, watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(connection, "probe", broken)
    watched.link.start()
    assert await watched.next() == ("left", "its thread ended: ZeroDivisionError()")
    assert "the thread of IPC ended" in caplog.text
    with pytest.raises(IpcFailed, match="closed"):
        await watched.read()
