"""The record of the coordinator's events: every event comes back as it was, and a run decides again as it did."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.chain.networks import NETWORKS, REGTEST, Network
from solominer.errors import RecordsError
from solominer.records.events.codec import KINDS, Decoder, Encoder
from solominer.records.events.event_log import EventLog, Start, digest, event_files
from solominer.records.events.replay import ReplayOutcome, replay
from solominer.work.actions import PublishJob, SaveBlock
from solominer.work.events import (
    Answer,
    BlockRestored,
    BlockSaved,
    BlockSeen,
    Event,
    HashRate,
    HealthSeen,
    JobRestored,
    NodesCompared,
    PauseWanted,
    PolicyChanged,
    ResumeWanted,
    SubmitAnswered,
    TemplateFailed,
    TemplateReady,
    Tick,
)
from solominer.work.found import BlockState, FoundBlock
from solominer.work.job import Job
from solominer.work.policy import Policy
from solominer.work.template import TemplateTx
from tests.work.builders import PAYOUT, T0, health, of_type, real_template, solution, template_on, tip

START = Start(REGTEST, ("a", "b"), PAYOUT, b"/test/", Policy(), b"\x01\x02")
st.register_type_strategy(Network, st.sampled_from(list(NETWORKS.values())))
st.register_type_strategy(
    TemplateTx,
    st.builds(
        TemplateTx,
        st.integers(0, 200).map(lambda size: "ab" * size),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=32, max_size=32),
        st.integers(0, 21 * 10**14),
        st.integers(0, 80_000),
        st.integers(0, 4_000_000),
        st.just(()),
    ),
)
PolicyChanged.__annotations__["policy"] = Policy  # for Hypothesis, which cannot see what only type checkers import


def kept(value: Any) -> Any:
    """What the record keeps of a value, with the length of a transaction in place of its data."""
    if isinstance(value, TemplateTx):
        return value._replace(data_hex=str(len(value.data_hex)))
    if isinstance(value, FoundBlock):
        value = replace(value, block_hex="")
    if is_dataclass(value):
        return [type(value), *(kept(getattr(value, field.name)) for field in fields(value))]
    return tuple(kept(each) for each in value) if isinstance(value, tuple) else value


@settings(max_examples=60)
@given(st.data())
def test_every_event_comes_back_as_it_was(data: st.DataObject) -> None:
    encoder, decoder = Encoder(), Decoder()
    for kind in data.draw(st.lists(st.sampled_from(list(KINDS.values())), min_size=1, max_size=3)):
        event = data.draw(st.from_type(kind))
        written = json.dumps([encoder.encode(event)])
        assert repr(kept(decoder.decode(kind, json.loads(written)[0]))) == repr(kept(event))  # nan is not itself


class Recorded:
    """A coordinator that is told events which are written down on the way; `told` are all of them."""

    def __init__(self, root: Path, **limits: int) -> None:
        self.root = root
        self.machine = START.coordinator()
        self.log = EventLog(root, 0, **limits)
        self.log.begin(T0.wall, "ab1", START)
        self.jobs: list[Job] = []
        self.blocks: list[FoundBlock] = []

    def tell(self, *events: Event) -> None:
        for event in events:
            actions = self.machine.handle(event)
            self.jobs += [action.job for action in of_type(PublishJob, actions)]
            self.blocks += [action.block for action in of_type(SaveBlock, actions)]
            if self.log.take():
                self.log.add(event, actions)

    def replay(self, until: float | None = None) -> ReplayOutcome:
        return replay(event_files(self.root), until)


def a_run(recorded: Recorded) -> None:
    """Two nodes, a block restored, two found, one lost in a reorganization that also parts the nodes."""
    full = real_template()
    parent = full.prevhash_le
    tell, at = recorded.tell, T0
    tell(HealthSeen(at, health("a", best=parent)), HealthSeen(at, health("b", best=parent)))
    tell(
        TemplateReady(at, "a", full),
        HashRate(at, 1e9),
        TemplateReady(at + 1, "a", replace(full, curtime=full.curtime + 1)),
    )
    tell(solution(recorded.jobs[0], at=at + 2), solution(recorded.jobs[-1], at=at + 2, solves=False))
    block = recorded.blocks[0]
    tell(BlockSaved(at + 2, block.hash_le), SubmitAnswered(at + 2, "a", block.hash_le, Answer.ACCEPTED, "null", 1, 0.1))
    tell(HealthSeen(at + 3, replace(health("a", best=block.hash_le, work=2), height=full.height)))
    tell(TemplateReady(at + 3, "a", template_on(block.hash_le, full.height + 1)))
    tell(solution(recorded.jobs[-1], at=at + 4))
    one, other = health("b", best=tip(9), work=9), health("a", best=tip(2), work=2)
    tell(HealthSeen(at + 5, one), HealthSeen(at + 8, other), Tick(at + 9), NodesCompared(at + 9, one, other, 200))
    tell(TemplateReady(at + 9, "b", template_on(tip(9), 269)), NodesCompared(at + 20, one, other, 200))
    tell(
        BlockSeen(at + 21, "b", block.hash_le, -1, "ab" * 32),
        Tick(at + 90),
        BlockSeen(at + 91, "b", block.hash_le, None),
    )
    tell(TemplateFailed(at + 92, "b", "busy"), PauseWanted(at + 93, "x"), ResumeWanted(at + 94, "x"))
    tell(PolicyChanged(at + 95, replace(Policy(), max_blocks=9)), *(Tick(at + n) for n in range(96, 130)))


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    """A run that begins with a block of an earlier one."""
    recorded = Recorded(tmp_path)
    earlier = Recorded(tmp_path / "earlier")
    a_run(earlier)
    earlier.log.close()
    recorded.tell(BlockRestored(T0, replace(earlier.blocks[1], hash_le=tip(7)), BlockState.SENT))
    recorded.tell(JobRestored(T0, 12, real_template(), 60.0))
    a_run(recorded)
    yield recorded
    recorded.log.close()


def test_a_run_decides_again_as_it_did(recorded: Recorded) -> None:
    recorded.log.close()
    outcome = recorded.replay()
    assert outcome.difference is None
    assert outcome.ends == ""
    assert outcome.events["TemplateReady"] == 4
    assert outcome.events["BlockRestored"] == outcome.events["JobRestored"] == 1
    assert min(job.job_id for job in recorded.jobs) > 12
    assert len(recorded.blocks) == 2
    assert outcome.actions > 40


def test_the_record_of_a_killed_run_is_read_as_far_as_it_goes(recorded: Recorded) -> None:
    outcome = recorded.replay()  # it was never closed
    assert outcome.difference is None
    assert outcome.events.total() > 20
    assert "is incomplete" in outcome.ends
    (file,) = event_files(recorded.root)
    torn = file.path.read_bytes()
    for size in range(len(torn) - 1, 700, -97):
        file.path.write_bytes(torn[:size])
        assert recorded.replay().difference is None


def lines_of(file: Path) -> list[Any]:
    return [json.loads(line) for line in zlib.decompress(file.read_bytes(), 31).splitlines()]


def rewrite(file: Path, lines: list[Any]) -> None:
    packer = zlib.compressobj(wbits=31)
    file.write_bytes(packer.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode()) + packer.flush())


def test_a_changed_event_is_found(recorded: Recorded) -> None:
    recorded.log.close()
    (file,) = event_files(recorded.root)
    lines = lines_of(file.path)
    number = next(n for n, line in enumerate(lines) if n and line[0] == "TemplateFailed")
    lines[number][1][2] = "idle"
    rewrite(file.path, lines)
    outcome = recorded.replay()
    assert outcome.difference is not None
    assert outcome.difference.number == number
    assert "idle" in str(outcome.difference.event)
    assert "idle" in str(outcome.difference.actions)


def test_days_are_files_and_an_hour_ends_where_it_ends(recorded: Recorded) -> None:
    recorded.tell(Tick(T0 + 86_400), Tick(T0 + 87_000), Tick(T0 + 80_000))
    recorded.log.close()
    assert [file.number for file in event_files(recorded.root)] == [0, 1]
    all_events = recorded.replay().events.total()
    assert recorded.replay(T0.wall + 86_400).events.total() == all_events - 3
    event_files(recorded.root)[0].path.unlink()
    with pytest.raises(RecordsError, match="file 0 of run ab1 is missing"):
        recorded.replay()


Change = Callable[[list[Any]], Any]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines[0].update(version=4), "has format version 4"),
        (lambda lines: lines[0].update(format="x"), "not an event file"),
        (lambda lines: lines[0].update(run="ab2"), "content of another run"),
        (lambda lines: lines[0].update(start=[]), "damaged at event 1"),
        (lambda lines: lines[5].__setitem__(0, "Nonsense"), "damaged at event 5"),
        (lambda lines: lines[5].__setitem__(1, [[1.0, 2.0]]), "damaged at event 5"),
        (lambda lines: lines.__setitem__(5, 7), "damaged at event 5"),
    ],
)
def test_what_cannot_be_read_says_why(recorded: Recorded, change: Change, told: str) -> None:
    recorded.log.close()
    (file,) = event_files(recorded.root)
    lines = lines_of(file.path)
    change(lines)
    rewrite(file.path, lines)
    with pytest.raises(RecordsError, match=told):
        recorded.replay()


@pytest.mark.parametrize("content", [b"", b"no gzip", b"\x1f\x8b\x08\0" + bytes(60)])
def test_garbage_is_refused(recorded: Recorded, content: bytes) -> None:
    (file,) = event_files(recorded.root)
    file.path.write_bytes(content)
    with pytest.raises(RecordsError):
        recorded.replay()


def test_a_full_day_ends_the_record_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorded = Recorded(tmp_path, day_bytes=2000)
    a_run(recorded)
    recorded.tell(*(Tick(T0 + n) for n in range(200, 500)))
    recorded.log.close()
    assert caplog.text.count("event recording stopped for this run") == 1
    outcome = recorded.replay()
    assert outcome.difference is None
    assert "limit of 0 MB per day" in outcome.ends


def test_a_disk_error_ends_the_record_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "root").write_text("a file where the folder belongs")
    recorded = Recorded(tmp_path / "root")
    a_run(recorded)
    recorded.log.close()
    assert caplog.text.count("event recording stopped for this run") == 1
    assert len(recorded.blocks) == 2


def test_a_disk_that_hangs_does_not_fill_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorded = Recorded(tmp_path)
    assert sum(recorded.log.take() for _ in range(6000)) == 5000
    assert caplog.text.count("events are waiting for the disk") == 1
    recorded.log.close()
    assert "events are waiting for the disk" in recorded.replay().ends


def test_old_runs_go_first(tmp_path: Path) -> None:
    for number in range(3):
        run = EventLog(tmp_path, 0, all_bytes=1000)
        run.begin(T0.wall + number * 86_400, f"f{number}", START)
        for n in range(100):
            run.take()
            run.add(Tick(T0 + number * 86_400 + n / 7), [])
        run.close()
    assert [file.run for file in event_files(tmp_path)] == ["f1", "f2"]


def test_the_digest_leaves_raw_transactions_out() -> None:
    machine = START.coordinator()
    full = real_template()
    machine.handle(HealthSeen(T0, health("a", best=full.prevhash_le)))
    actions = machine.handle(TemplateReady(T0, "a", full))
    (action,) = of_type(PublishJob, actions)
    bare = replace(full, transactions=tuple(tx._replace(data_hex="") for tx in full.transactions))
    assert digest([action]) == digest([PublishJob(replace(action.job, template=bare))])
    assert digest([action]) != digest([PublishJob(replace(action.job, job_id=7))])
    assert digest([]) == ""
