"""Shares by the packet: whatever a client sends, the compiled path answers byte by byte what the session does alone."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solominer.chain.hashes import sha256d
from solominer.config.paths import default_cache_dir
from solominer.engines.stratum.batch import Batch
from solominer.engines.stratum.duplicates import Duplicates
from solominer.engines.stratum.events import BlockAccepted, BlockFound, Event
from solominer.engines.stratum.reference import MAX_BATCH
from solominer.engines.stratum.shares import share_target
from solominer.engines.stratum.validate import load_validator
from solominer.engines.stratum.work import Work
from tests.engines.stratum.builders import EASY, HARD_BITS, MASK, REGTEST_BITS, Client, line, make_shared, make_work

PASSWORD = f"x={EASY:.20f}"


@pytest.fixture(scope="module")
def batch() -> Batch:
    validator = load_validator(default_cache_dir(), print)
    assert validator is not None
    return Batch(validator)


def pair(batch: Batch, work: Work) -> tuple[Client, Client]:
    """The same client twice: with the compiled path and without."""
    clients = []
    for use in (batch, None):
        shared = make_shared(work)
        shared.checker.use(use)
        client = Client(shared)
        client.send(
            line(1, "mining.configure", ["version-rolling"], {"version-rolling.mask": f"{MASK:08x}"}),
            line(2, "mining.subscribe", "test/1"),
            line(3, "mining.authorize", "rig.1", PASSWORD),
            line(4, "mining.authorize", "rig.2", PASSWORD),
        )
        clients.append(client)
    assert clients[0].job == clients[1].job
    return clients[0], clients[1]


def agree(one: Client, other: Client, packets: list[bytes]) -> None:
    """Both give the same bytes, events (blocks leave first, whatever their place) and tallies for these packets."""

    def blocks_first(event: Event) -> bool:
        return not isinstance(event, BlockFound)

    for packet in packets:
        first, second = one.session.receive(packet, 1.0), other.session.receive(packet, 1.0)
        assert first.data == second.data
        assert first.close == second.close
        assert sorted(first.events, key=blocks_first) == sorted(second.events, key=blocks_first)
    for name, worker in one.session.workers.items():
        mine, theirs = worker.tally, other.session.workers[name].tally
        assert (mine.accepted, mine.rejected) == (theirs.accepted, theirs.rejected)
        assert (mine.hashes, mine.best_hash) == (theirs.hashes, theirs.best_hash)
        assert mine.hashes_squared == pytest.approx(theirs.hashes_squared)


HEX = "0123456789abcdefABCDEF"
numbers = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda value: f"{value:08x}"),
    st.integers(0, 2**40).map(lambda value: f"{value:x}"),
    st.text(HEX, min_size=0, max_size=10),
    st.sampled_from(["", "0x12", "zz", " 1", "-1", "1_0"]),
)


@st.composite
def submits(draw: st.DrawFn, job_id: str, ntime: str) -> bytes:
    user = draw(st.sampled_from(["rig.1", "rig.1", "rig.1", "rig.2", "rig.3", "", 'q"', "\u00e9"]))
    job = draw(st.sampled_from([job_id, job_id, job_id, job_id, "1", "", "ffff"]))
    extranonce2 = draw(st.one_of(st.integers(0, 7).map(lambda n: f"{n:016x}"), st.text(HEX, min_size=0, max_size=18)))
    when = draw(st.one_of(st.just(ntime), st.just(ntime), numbers))
    params: list[object] = [
        user,
        job,
        extranonce2,
        when,
        draw(st.one_of(st.integers(0, 9).map("{:08x}".format), numbers)),
    ]
    if draw(st.booleans()):
        params.append(draw(st.one_of(st.sampled_from(["00000000", "00002000", "1fffe000", "20000000"]), numbers)))
    if draw(st.integers(0, 19)) == 0:
        params = draw(st.sampled_from([[], params[:4], [*params, "x", "y"], [1, 2, 3, 4, 5], [params]]))
    odd_ids: list[object] = [None, 4, "auth", 1.5, -3, 2**70, "\u00e9", 'a"b', [1], {}, True]
    number = draw(st.one_of(st.integers(0, 9), st.sampled_from(odd_ids)))
    fields: dict[str, object] = {"id": number, "method": "mining.submit", "params": params}
    if draw(st.integers(0, 29)) == 0:
        fields["method"] = draw(st.sampled_from(["mining.submi", "mining.ping", "mining.submitt", 7]))
    if draw(st.integers(0, 29)) == 0:
        fields["jsonrpc"] = "2.0"
    order = draw(st.permutations(list(fields)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
    text = json.dumps({key: fields[key] for key in order}, separators=separators, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 29)) == 0:
        text = draw(
            st.sampled_from([text[:-1], text + "}", text + " ", "  " + text, text.replace("id", "idx"), "", "{}"])
        )
    return text.encode() + draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_is_sent_both_ways_say_the_same(batch: Batch, data: st.DataObject) -> None:
    bits = data.draw(st.sampled_from([HARD_BITS, HARD_BITS, REGTEST_BITS]))
    notable = data.draw(st.sampled_from([0, share_target(EASY * 8)]))
    one, other = pair(batch, make_work(nbits=bits, notable_target_le=notable.to_bytes(32, "little")))
    whole = b"".join(data.draw(st.lists(submits(one.job[0], one.job[7]), max_size=30)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    places = [0, *cuts, len(whole)]
    agree(one, other, [whole[start:end] for start, end in itertools.pairwise(places)])


@pytest.mark.parametrize("branch", [0, 1, 12, 14])
def test_many_shares_in_packets_of_any_size(batch: Batch, branch: int) -> None:
    """More than a batch at once, duplicates over tables that grow, packets that end within a line."""
    rng = random.Random(branch)
    work = make_work(merkle_branch=tuple(sha256d(bytes([i])) for i in range(branch)))
    one, other = pair(batch, work)
    for client in (one, other):
        assert client.shared is not None
        client.shared.checker.duplicates = Duplicates(slots=(8, 32, 1024))
    lines = [
        line(
            n, "mining.submit", "rig.1", one.job[0], f"{rng.randrange(40):016x}", one.job[7], f"{rng.randrange(8):08x}"
        )
        for n in range(4 * MAX_BATCH + 7)
    ]
    whole = "".join(each + "\n" for each in lines).encode()
    packets, at = [], 0
    while at < len(whole):
        size = rng.choice([1, 50, 4000, 100_000])
        packets.append(whole[at : at + size])
        at += size
    agree(one, other, packets)
    tally = one.session.workers["rig.1"].tally
    assert tally.accepted > 20
    assert tally.rejected["Duplicate"] > 20


def test_blocks_and_notable_shares_among_many_are_found(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.engines.stratum.base_session.BLOCKS_PER_WORK", 200)
    notable = share_target(EASY * 4)
    one, other = pair(batch, make_work(nbits=REGTEST_BITS, notable_target_le=notable.to_bytes(32, "little")))
    lines = [line(n, "mining.submit", "rig.1", one.job[0], f"{n:016x}", one.job[7], "00000000") for n in range(200)]
    events = one.session.receive("".join(each + "\n" for each in lines).encode(), 0.0).events
    also = other.session.receive("".join(each + "\n" for each in lines).encode(), 0.0).events
    by_kind = [sorted(each, key=lambda event: type(event).__name__) for each in (events, also)]  # else in their order
    assert by_kind[0] == by_kind[1]
    blocks = [each.hash_le for each in events if isinstance(each, BlockFound)]
    assert blocks == [each.hash_le for each in events if isinstance(each, BlockAccepted)]
    assert len([each for each in events if isinstance(each, BlockFound)]) > 50
