"""The head's book of nodes: leases that nobody else gets, and counters that only increase."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from solominer.engines.cluster.members import LEASE_COUNT, Members
from solominer.engines.cluster.messages import MOST_WORKERS, Beat, JoinRequest, Lease, Refusal, WorkerBeat
from solominer.work.workers import ExtranonceRange, WorkerId

SPACE = ExtranonceRange(0xFFFFFFF8, 4 * LEASE_COUNT)  # over the end of the values


class Book:
    """Members in run 5 and the lines for the ledger."""

    def __init__(self, space: ExtranonceRange = SPACE) -> None:
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.members = Members(space, "regtest", lambda kind, fields: self.notes.append((kind, dict(fields))))
        self.members.run = 5

    def join(self, node: str, process: int = 1, now: float = 0.0) -> Lease:
        answer = self.members.join(node, JoinRequest(bytes([process]) * 16, "regtest", "solominer 1"), now)
        assert isinstance(answer, Lease)
        return answer

    def beat(self, node: str, lease: Lease, hashes: int, *, now: float = 0.0, state: str = "hashing") -> None:
        workers = (WorkerBeat("cpu0", "fake", state, hashes, 10.0, hashes // 100, 45_500),)
        self.members.beat(node, Beat(lease.run, bytes(16), lease.first, workers), now)

    @property
    def hashes(self) -> list[int]:
        return [seen.hashes_counted for seen in self.members.snapshot()]


def values(lease: Lease) -> set[bytes]:
    space = ExtranonceRange(lease.first, lease.count)
    return {space.nth(index) for index in range(lease.count)}


def test_each_process_of_a_node_gets_values_that_no_other_gets() -> None:
    book = Book()
    leases = [book.join("n1"), book.join("n2"), book.join("n1", process=2, now=9.0), book.join("n3")]
    dealt = [value for lease in leases for value in values(lease)]
    assert len(set(dealt)) == 4 * LEASE_COUNT
    assert all(value in SPACE for value in dealt)
    assert [kind for kind, _ in book.notes] == ["cluster_lease"] * 4
    assert book.notes[2][1] | {"first": 0} == {
        "node": "n1",
        "incarnation": "02" * 16,
        "first": 0,
        "count": LEASE_COUNT,
        "program": "solominer 1",
    }


def test_one_that_asks_again_gets_the_same_lease() -> None:
    book = Book()
    assert book.join("n1") == book.join("n1")
    assert len(book.notes) == 1


def test_when_the_space_is_used_up_a_node_is_refused_with_the_reason() -> None:
    book = Book()
    for process in range(4):
        book.join("n1", process, now=10.0 * process)
    answer = book.members.join("n1", JoinRequest(bytes(15) + b"\x09", "regtest", ""), 90.0)
    assert answer == Refusal("all leases of this run are used up: restart the daemon")


def test_a_node_for_another_network_is_refused() -> None:
    answer = Book().members.join("n1", JoinRequest(bytes(16), "main", ""), 0.0)
    assert isinstance(answer, Refusal)
    assert answer.reason.startswith("this cluster mines on regtest, and the join file is for main -> use one that")


def test_counters_only_increase_over_restarts_of_a_node_and_beats_out_of_order() -> None:
    book = Book()
    first = book.join("n1")
    book.beat("n1", first, 1000)
    book.beat("n1", first, 900)
    assert book.hashes == [1000]
    second = book.join("n1", process=2, now=9.0)
    assert book.hashes == [1000]
    book.beat("n1", first, 5000)  # of the process before
    book.beat("n1", second, 50)
    assert book.hashes == [1050]
    (seen,) = book.members.snapshot()
    assert (seen.worker, seen.state, seen.rate_hps, seen.shares) == (
        WorkerId("cluster", "n1.cpu0"),
        "hashing",
        10.0,
        10,
    )
    assert (seen.kernel, seen.temperature_c, seen.gone_at) == ("fake", 45.5, None)


def test_miners_that_leave_a_node_keep_what_is_credited_to_them_also_after_its_restart() -> None:
    book = Book()

    def beat(lease: Lease, **credited: float) -> list[tuple[str, str, float]]:
        server = WorkerBeat("stratum", "", "idle", 0, 0.0, 0)
        miners = (WorkerBeat(f"stratum/{name}", "", "hashing", 0, 1.0, 1, credited=c) for name, c in credited.items())
        book.members.beat("n1", Beat(lease.run, bytes(16), lease.first, (server, *miners)), 0.0)
        return [(seen.worker.name, seen.state, seen.hashes_credited) for seen in book.members.snapshot()]

    first = book.join("n1")
    assert beat(first, a=5.0, b=0.0)[1:] == [("n1.stratum/a", "hashing", 5.0), ("n1.stratum/b", "hashing", 0.0)]
    assert beat(first)[1:] == [("n1.stratum/a", "lost", 5.0)]  # b did nothing
    assert beat(first, a=6.0)[1:] == [("n1.stratum/a", "hashing", 6.0)]
    second = book.join("n1", process=2, now=9.0)
    assert beat(second)[1:] == [("n1.stratum/a", "lost", 6.0)]
    assert beat(second, a=2.0)[1:] == [("n1.stratum/a", "hashing", 8.0)]
    assert book.hashes == [0, 0]


def test_beats_of_strangers_and_of_other_runs_count_for_nothing() -> None:
    book = Book()
    lease = book.join("n1")
    book.beat("n2", lease, 1000)
    book.beat("n1", Lease(4, lease.first, 4, 1.0, "regtest"), 1000)
    assert book.hashes == []


def test_a_node_silent_for_two_beats_is_lost_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    book = Book()
    lease = book.join("n1", now=100.0)
    book.beat("n1", lease, 1000, now=101.0)
    book.members.look(103.1)
    assert [seen.state for seen in book.members.snapshot()] == ["hashing"]
    book.members.look(103.3)
    book.members.look(104.3)
    (seen,) = book.members.snapshot()
    assert (seen.state, seen.rate_hps, seen.hashes_counted) == ("lost", 0.0, 1000)
    assert caplog.text.count("node n1 is lost: silent for 2.3 s") == 1
    book.beat("n1", lease, 3000, now=110.0)
    assert [seen.state for seen in book.members.snapshot()] == ["hashing"]
    assert [kind for kind, _ in book.notes] == ["cluster_lease", "cluster_lost", "cluster_back"]


def test_a_node_that_says_that_it_ends_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    lease = book.join("n1")
    book.beat("n1", lease, 1000)
    book.members.beat("n1", Beat(5, bytes(16), lease.first, ()), 1.0)
    book.members.look(60.0)
    (seen,) = book.members.snapshot()
    assert (seen.state, seen.hashes_counted) == ("left", 1000)
    assert abs((seen.gone_at or 0.0) - time.time()) < 60
    assert [kind for kind, _ in book.notes] == ["cluster_lease", "cluster_left"]
    assert "lost" not in caplog.text
    for at in (61.0, 61.1):  # a stolen one: it would end and come back as fast as it can
        book.beat("n1", lease, 2000, now=at)
        book.members.beat("n1", Beat(5, bytes(16), lease.first, ()), at)
    assert len(book.notes) == 2
    book.beat("n1", book.join("n1", process=2, now=62.0), 10, now=63.0)
    (seen,) = book.members.snapshot()
    assert (seen.state, seen.gone_at, seen.hashes_counted) == ("hashing", None, 1010)


def test_a_node_that_was_removed_has_left_and_is_shown_no_more_after_a_while() -> None:
    book = Book()
    book.members.remove("n2", 0.0)
    book.beat("n1", book.join("n1"), 1000)
    book.members.remove("n1", 1.0)
    states = []
    for at in (60.0, 62.0):
        book.members.look(at)
        states += [(seen.state, seen.hashes_counted) for seen in book.members.snapshot()]
    assert states == [("left", 1000), ("removed", 1000)]
    book.beat("n1", book.join("n1", process=2, now=70.0), 10, now=70.0)
    book.members.look(70.0)
    assert [(seen.state, seen.hashes_counted) for seen in book.members.snapshot()] == [("hashing", 1010)]


def test_the_workers_of_a_node_are_bounded() -> None:
    book = Book()
    lease = book.join("n1")
    for first in range(0, 6000, 3000):
        workers = tuple(WorkerBeat(f"w{n}", "", "idle", 1, 0.0, 0) for n in range(first, first + 3000))
        book.members.beat("n1", Beat(5, bytes(16), lease.first, workers), 0.0)
    assert len(book.hashes) == MOST_WORKERS


def asks(book: Book, process: int, now: float, machine: str = "") -> Lease | Refusal:
    program = f"solominer 1 on {machine or f'm{process}'}"
    return book.members.join("n1", JoinRequest(bytes([process]) * 16, "regtest", program), now)


def test_a_node_that_is_restarted_on_its_machine_works_at_once(caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    leases = [asks(book, process, 0.1 * process, machine="rack1") for process in (1, 2)]
    assert all(isinstance(lease, Lease) for lease in leases)
    assert "if it was not restarted, two processes of solominer 1 on rack1" in caplog.text


def test_the_second_machine_with_a_join_file_is_refused_until_the_first_is_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = Book()
    first = asks(book, 1, 0.0)
    assert isinstance(first, Lease)
    book.beat("n1", first, 1000, now=60.0)
    for now in (60.5, 61.5):
        refused = asks(book, 2, now)
        assert isinstance(refused, Refusal)
        assert "solominer 1 on m1 has worked as n1 for 1m 0s" in refused.reason or now == 61.5
    assert caplog.text.count("two machines: solominer 1 on m2 is refused, because solominer 1 on m1 has worked") == 1
    book.beat("n1", first, 3000, now=62.0)
    assert (book.hashes, asks(book, 1, 62.1)) == ([3000], first)
    second = asks(book, 2, 64.3)
    assert isinstance(second, Lease)
    assert not values(first) & values(second)
    book.beat("n1", first, 9000, now=64.4)
    book.beat("n1", second, 50, now=64.5)
    assert book.hashes == [3050]
    assert isinstance(asks(book, 1, 64.6), Refusal)


def test_a_stolen_node_that_joins_without_end_leaves_space_and_log_to_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    book = Book(ExtranonceRange(0, 1 << 16))
    answers = [
        book.members.join("n1", JoinRequest(number.to_bytes(16), "regtest", "x"), number / 100)
        for number in range(2000)
    ]
    leases = sum(isinstance(answer, Lease) for answer in answers)
    assert 10 <= leases <= 10 + 20 / 5 + 1
    assert len(caplog.records) == len(book.notes) + 1 == leases + 1, "each lease, and one warning"
    assert isinstance(book.join("n2", now=20.0), Lease)
    assert isinstance(book.join("n1", process=9, now=26.0), Lease)


def test_a_thousand_nodes_send_fewer_beats() -> None:
    book = Book(ExtranonceRange(0, 1 << 16))
    leases = [book.join(f"n{number}") for number in range(1001)]
    assert [leases[0].beat_secs, leases[999].beat_secs, leases[1000].beat_secs] == [1.0, 1.0, 10.0]
