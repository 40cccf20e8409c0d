"""What a TipWatch makes of hints and polls: each change once, the newest truth wins, old answers do not."""

from __future__ import annotations

import asyncio
import time

import pytest

from solominer.node.tips import TipWatch
from solominer.work.events import NewTip
from solominer.work.instant import Instant

A, B, C = (bytes([byte]) * 32 for byte in (1, 2, 3))


@pytest.fixture
def posted() -> list[NewTip]:
    """What was posted."""
    return []


@pytest.fixture
def watch(posted: list[NewTip]) -> TipWatch:
    """A watch that knows no tip yet."""
    return TipWatch("alpha", posted.append, lambda: Instant(12.5, 1.0))


def _kicked(watch: TipWatch) -> bool:
    return watch._kicked.is_set()


def test_each_change_is_posted_once(watch: TipWatch, posted: list[NewTip]) -> None:
    watch.polled(A, 0)
    watch.polled(A, 1)
    watch.hinted(B)
    watch.hinted(B)
    watch.polled(B, 2)
    watch.polled(C, 2, "longpoll")
    assert posted == [
        NewTip(Instant(12.5, 1.0), "alpha", A, "poll"),
        NewTip(Instant(12.5, 1.0), "alpha", B, "zmq"),
        NewTip(Instant(12.5, 1.0), "alpha", C, "longpoll"),
    ]
    assert watch.best_le == C


def test_a_hint_is_confirmed_by_a_poll(watch: TipWatch) -> None:
    assert not _kicked(watch)
    watch.hinted(A)
    assert _kicked(watch)


def test_an_answer_to_an_old_question_is_asked_again(watch: TipWatch, posted: list[NewTip]) -> None:
    """A poll begins at A, ZMQ says B meanwhile, and then the poll's answer comes in: A, or something else."""
    watch.polled(A, 0)
    before = watch.changes
    watch.hinted(B)
    watch._kicked.clear()
    assert not watch.polled(A, before)
    assert _kicked(watch)
    assert [tip.hash_le for tip in posted] == [A, B]


def test_a_repeated_hint_of_an_old_tip_waits_for_the_poll(watch: TipWatch, posted: list[NewTip]) -> None:
    """Out of order or twice: A again after B moves nobody. A reorganization back to A is confirmed and followed."""
    watch.hinted(A)
    watch.hinted(B)
    watch._kicked.clear()
    watch.hinted(A)
    assert watch.best_le == B
    assert _kicked(watch)
    watch.polled(A, watch.changes)
    assert [tip.hash_le for tip in posted] == [A, B, A]


def test_polled_tells_whether_it_was_news(watch: TipWatch) -> None:
    assert watch.polled(A, 0)
    assert not watch.polled(A, 1)
    assert watch.polled(B, 1)


async def test_a_kick_ends_the_wait_and_is_used_up(watch: TipWatch) -> None:
    waiting = asyncio.create_task(watch.wait_for_kick(60))
    await asyncio.sleep(0)
    watch.kick()
    async with asyncio.timeout(5):
        await waiting
    start = time.monotonic()
    await watch.wait_for_kick(0.02)
    assert time.monotonic() - start >= 0.015
