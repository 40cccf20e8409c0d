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
BLOCK = replace(SHARE, is_block=True)
TICK = Tick(T0)


@given(events=st.lists(st.sampled_from([SHARE, BLOCK, TICK, None])), most=st.integers(0, 3))
def test_it_is_a_queue_that_loses_plain_shares_alone_and_counts_them(events: list[Event | None], most: int) -> None:
    """None takes one out."""

    async def all_of_it() -> None:
        queue, waiting, dropped = EventQueue(most), list[Event](), 0
        for event in events:
            if event is None:
                if waiting:
                    assert await queue.get() is waiting.pop(0)
            elif event is SHARE and sum(each is SHARE for each in waiting) >= most:
                queue.put(event)
                dropped += 1
            else:
                queue.put(event)
                waiting.append(event)
            assert (len(queue), queue.dropped) == (len(waiting), dropped)
        assert [await queue.get() for _ in waiting] == waiting

    asyncio.run(all_of_it())


async def test_whoever_waits_gets_the_next_event() -> None:
    queue = EventQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put(TICK)
    assert await waiting is TICK
