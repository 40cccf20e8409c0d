"""Several engines as one: each has extranonces of its own, and none holds another up."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.engine_set import EngineSet
from solominer.errors import EngineError
from solominer.work.events import Event
from solominer.work.workers import ExtranonceDealer, ExtranonceRange, WorkerId
from tests.fakes import FakeEngine
from tests.work.builders import mining


async def started(*engines: FakeEngine, ranges: dict[str, ExtranonceRange] | None = None) -> EngineSet:
    """A set that runs."""
    engine_set, events = EngineSet(engines, ExtranonceDealer(3), ranges), list[Event]()
    await engine_set.start(events.append)
    return engine_set


@pytest.mark.parametrize("broken", ["publish", "stop_work", "set_intensity"])
async def test_an_engine_that_raises_stops_none_of_the_others(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    before, bad, after = FakeEngine("before"), FakeEngine("bad"), FakeEngine("after")
    bad.raises.add(broken)
    engine_set = await started(before, bad, after)
    _, job = mining()
    engine_set.publish(job, clean=True)
    engine_set.set_intensity(0.5)
    if broken != "publish":
        assert bad.jobs == [(job, True)]
    engine_set.stop_work()
    for engine in (before, after):
        assert (engine.jobs, engine.job, engine.intensity) == ([(job, True)], None, 0.5)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "engine bad" in caplog.text


async def test_the_engine_that_found_a_block_hears_that_it_is_on_disk() -> None:
    finder, other = FakeEngine("finder"), FakeEngine("other")
    engine_set = await started(finder, other)
    engine_set.block_saved(WorkerId("finder", "3"), b"block")
    assert (finder.saved, other.saved) == ([b"block"], [])


async def test_each_engine_gets_a_space_of_its_own() -> None:
    one, many = FakeEngine("one"), FakeEngine("many")
    engine_set = await started(one, many, ranges={"many": ExtranonceRange(4, 5)})
    assert (one.space, many.space) == (ExtranonceRange(3, 1), ExtranonceRange(4, 5))
    assert engine_set.extranonce1("many") == b"\0\0\0\4"


async def test_an_engine_that_ends_or_cannot_start_is_an_error_and_all_are_stopped_whatever_one_raises() -> None:
    bad, good = FakeEngine("bad"), FakeEngine("good")
    engine_set = await started(bad, good)
    bad.raises |= {"run", "stop", "start"}
    with pytest.raises(ExceptionGroup) as ended:
        await asyncio.wait_for(engine_set.run(), 5)
    assert ended.group_contains(EngineError)
    await engine_set.stop(1)
    assert "stop" in good.calls
    with pytest.raises(EngineError):
        await engine_set.start(lambda event: None)


async def test_a_snapshot_has_all_engines_in_order() -> None:
    engine_set = await started(FakeEngine("a", workers=2), FakeEngine("b"))
    assert [(seen.engine, len(seen.workers)) for seen in engine_set.snapshot()] == [("a", 2), ("b", 1)]


def test_two_engines_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        EngineSet([FakeEngine("a"), FakeEngine("a")], ExtranonceDealer(0))


@given(start=st.integers(0, 2**33), counts=st.lists(st.integers(1, 50), max_size=30))
def test_no_extranonce1_is_dealt_twice(start: int, counts: list[int]) -> None:
    dealer, seen = ExtranonceDealer(start), list[bytes]()
    for count in counts:
        space = dealer.deal(count)
        seen += [space.nth(index) for index in range(count)]
    assert len(set(seen)) == len(seen) == sum(counts)
    assert all(len(value) == 4 for value in seen)


@given(start=st.integers(0, 2**32 - 1), first=st.integers(1, 2**32))
def test_the_space_ends_and_then_nothing_is_dealt(start: int, first: int) -> None:
    dealer = ExtranonceDealer(start)
    space = dealer.deal(first)
    left = 2**32 - first
    with pytest.raises(ValueError, match="cannot be dealt"):
        dealer.deal(left + 1)
    if left:
        rest = dealer.deal(left)
        assert rest.nth(left - 1) == ((start - 1) % 2**32).to_bytes(4, "big")
        assert rest.nth(0) != space.nth(0)
    for outside in (-1, first):
        with pytest.raises(IndexError):
            space.nth(outside)


@given(engine=st.text("abcz09_", min_size=1), name=st.text("abc/.09"))
def test_a_worker_id_reads_back(engine: str, name: str) -> None:
    assert WorkerId.parse(str(WorkerId(engine, name))) == WorkerId(engine, name)


def test_text_without_a_slash_is_a_worker_of_an_unknown_engine() -> None:
    assert WorkerId.parse("3") == WorkerId("unknown", "3")
