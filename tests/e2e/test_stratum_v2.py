"""Stratum V2 miners of a real daemon on a real node: each block that they are told is accepted is on the chain."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from solominer.chain.target import decode_compact
from solominer.engines.stratum.v2.messages import SetNewPrevHash
from solominer.node.private.node import PrivateNode
from tests.e2e.stratum_rig import Bench, confirmations, in_thread, serving, solve, until
from tests.engines.stratum.v2.miner import extended, standard
from tests.engines.stratum.v2.miner import solve as solve_v2
from tests.engines.stratum.v2.wire import V2WireMiner
from tests.engines.stratum.wire import WireMiner

BLOCKS = int(os.environ.get("SOLOMINER_V2_BLOCKS", "24"))
"""How many blocks V2 miners find; the nightly run has more."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60 + 3 * BLOCKS)]


def v2_url(bench: Bench) -> str:
    """Where V2 miners connect."""
    return next(url for url in bench.engine.urls if url.startswith("stratum2+tcp://"))


def miner_at(url: str, number: int) -> V2WireMiner:
    """A miner with a channel and work: a standard one, or an extended one of some size. Waits while nobody serves."""
    deadline = time.monotonic() + 30
    while True:
        with suppress(OSError, EOFError):
            miner = V2WireMiner(url)
            miner.open(standard() if number % 3 == 0 else extended(size=(2, 4, 8)[number % 3]))
            return miner
        assert time.monotonic() < deadline, "the server is not back"
        time.sleep(0.05)


def find(miner: V2WireMiner) -> str:
    """Hand in a block of the newest job; its hash."""
    (channel,) = miner.client.channels.values()
    work = channel.work
    assert work is not None
    header = solve_v2(work, decode_compact(work.nbits), bits=random.getrandbits(16) << 13)
    assert miner.hand_in(work, header) in ("", "stale-share")
    return header.hash_le()[::-1].hex()


async def test_v2_miners_find_blocks_while_the_server_is_killed_and_miners_come_and_go(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        url = v2_url(bench)
        found = []
        for number in range(BLOCKS):
            if number in (0, BLOCKS // 3, 2 * BLOCKS // 3):
                miner = await in_thread(lambda number=number: miner_at(url, number))  # type: ignore[misc]
            if number == BLOCKS // 2:
                os.kill(bench.server_pid, signal.SIGKILL)
                await in_thread(miner.ended)
                miner = await in_thread(lambda: miner_at(url, 1))
                assert bench.server_starts == 2
            start = len(miner.messages)
            found.append(await in_thread(lambda miner=miner: find(miner)))  # type: ignore[misc]
            await bench.on_the_chain(found[-1])
            await in_thread(lambda miner=miner, start=start: miner.until(SetNewPrevHash, start))  # type: ignore[misc]
        assert len(set(found)) == BLOCKS
        assert all(confirmations(node, each) > 0 for each in found)


async def test_v1_and_v2_miners_take_turns_at_one_port(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        for number in range(4):
            if number % 2:
                v2 = await in_thread(lambda: miner_at(v2_url(bench), number))  # noqa: B023 - it is awaited
                hash_hex = await in_thread(lambda: find(v2))  # noqa: B023
            else:
                v1: WireMiner = await in_thread(bench.miner)
                params, hash_hex = solve(v1)
                assert await bench.hand_in(v1, params) is None
            await bench.on_the_chain(hash_hex)
        await until(lambda: len(bench.tracked()) == 4, 10)
