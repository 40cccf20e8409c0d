"""The queue before the coordinator: only shares that are no blocks are ever dropped, and they are counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from solominer.daemon.event_queue import EventQueue
from solominer.work.events import Event, ShareFound, Tick
from solominer.work.workers import WorkerId
from tests.work.builders import T0

SHARE = ShareFound(T0, WorkerId("fake", "0"), 1, bytes(12), 0, 0, 0)
OTHERS = [replace(SHARE, worker=WorkerId("cluster", f"{node}.cpu0")) for node in ("n1", "n2")]
BLOCK = replace(SHARE, is_block=True)
TICK = Tick(T0)


@given(events=st.lists(st.sampled_from([SHARE, *OTHERS, BLOCK, TICK, None])), most=st.integers(0, 9))
def test_it_is_a_queue_that_loses_plain_shares_alone_and_counts_them(events: list[Event | None], most: int) -> None:
    """None takes one out."""

    async def all_of_it() -> None:
        queue, waiting, dropped = EventQueue(most), list[Event](), 0
        for event in events:
            if event is None:
                if waiting:
                    assert await queue.get() is waiting.pop(0)
            elif event in (SHARE, *OTHERS) and waiting.count(event) >= most - sum(map(waiting.count, (SHARE, *OTHERS))):
                queue.put(event)
                dropped += 1
            else:
                queue.put(event)
                waiting.append(event)
            assert (len(queue), queue.dropped) == (len(waiting), dropped)
        assert [await queue.get() for _ in waiting] == waiting

    asyncio.run(all_of_it())


async def test_one_that_floods_the_queue_leaves_room_for_others() -> None:
    queue = EventQueue(1000)
    for number in range(5000):
        queue.put(replace(OTHERS[0], nonce=number))
    assert (len(queue), queue.dropped) == (500, 4500)
    for number in range(200):
        queue.put(replace(OTHERS[1], nonce=number))
    queue.put(replace(OTHERS[0], is_block=True))
    assert (len(queue), queue.dropped) == (701, 4500)
    for _ in range(701):
        await queue.get()
    assert not queue._of


async def test_whoever_waits_gets_the_next_event() -> None:
    queue = EventQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put(TICK)
    assert await waiting is TICK
