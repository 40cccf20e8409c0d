"""Totals of miners in the daemon: whatever the server reports and however often it restarts, nothing counts twice."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.stratum.channel import MinerReport, Report
from solominer.engines.stratum.events import Tally
from solominer.engines.stratum.miners import MOST_SHOWN, SILENT_SECS, Miners
from solominer.engines.stratum.shared import Tallies
from solominer.work.miners import MinerShares


def report_of(*miners: MinerReport) -> Report:
    return Report(len(miners), list(miners), [])


def news(name: str = "rig", agent: str = "test/1", accepted: int = 0, **changes: object) -> MinerReport:
    """What a server says of a miner in a second; its shares take 8 hashes each."""
    best = (1 << 200).to_bytes(32) if accepted else b""
    counts = {key: changes.pop(key) for key in ("rejected", "connects") if key in changes}
    tally = Tally(name, agent, accepted, 8 * accepted, 64.0 * accepted, best, **counts)  # type: ignore[arg-type]
    values = {"connections": 1, "difficulty": 2.0} | changes
    return MinerReport(tally, **values)  # type: ignore[arg-type]


def added_up(sums: Iterable[MinerShares]) -> MinerShares:
    return reduce(MinerShares.plus, sums, MinerShares("", ""))


@st.composite
def seconds(draw: st.DrawFn) -> Report | None:
    """A second's report, or None: the server ended."""
    if draw(st.integers(0, 9)) == 0:
        return None
    each = st.builds(
        lambda name, agent, accepted, stale, connections: news(
            name, agent, accepted, rejected={"Stale": stale} if stale else {}, connections=connections
        ),
        st.sampled_from(["a", "b", Tallies.OTHERS]),
        st.sampled_from(["x", "y"]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(0, 2),
    )
    return report_of(*draw(st.lists(each, max_size=3)))


@given(st.lists(seconds(), max_size=40))
def test_sums_and_totals_are_those_of_a_recount(reports: list[Report | None]) -> None:
    miners, sums = Miners(), []
    for second, report in enumerate(reports):
        sums += miners.server_ended(second) if report is None else miners.report(second, report)
    every = [each.tally for report in reports if report is not None for each in report.miners]
    snapshot, total = miners.snapshot(len(reports), has_work=True), added_up(sums)
    accepted, rejected = sum(each.accepted for each in every), sum(sum(each.rejected.values()) for each in every)
    assert total.shares == sum(worker.shares for worker in snapshot.workers) == accepted
    assert total.hashes == snapshot.hashes == 8 * accepted
    assert sum(total.rejected.values()) == sum(worker.rejected for worker in snapshot.workers) == rejected
    for name in ("a", "b"):
        own = sum(each.accepted for each in every if each.name == name)
        assert sum(each.shares for each in sums if each.worker == f"stratum/{name}") == own


def test_the_time_of_a_connection_counts_once_also_of_a_silent_one() -> None:
    miners = Miners()
    first = miners.report(100.0, report_of(news(connects=1)))
    assert added_up(first).connects == 1
    assert miners.report(101.0, report_of()) == []
    silent = miners.report(100.0 + SILENT_SECS, report_of())
    assert (added_up(silent).connected_secs, added_up(silent).exposure_secs) == (SILENT_SECS, SILENT_SECS / 2)
    left = miners.report(150.0, report_of(news(connections=0)))
    assert added_up([*first, *silent, *left]).connected_secs == 50.0
    assert miners.report(300.0, report_of()) == []


def test_a_server_that_ends_takes_its_connections_along() -> None:
    miners = Miners()
    miners.report(0.0, report_of(news(accepted=1)))
    assert added_up(miners.server_ended(5.0)).connected_secs == 5.0
    assert miners.snapshot(6.0, has_work=True).workers[0].state == "lost"
    assert added_up(miners.report(60.0, report_of(news()))).connected_secs == 0.0


def test_who_left_without_a_share_is_no_lost_worker() -> None:
    miners = Miners()
    miners.report(0.0, report_of(news("x.solominer-doctor", connects=1), news("rig", accepted=1)))
    assert [worker.worker.name for worker in miners.snapshot(0.5, True).workers] == ["x.solominer-doctor", "rig"]
    miners.report(1.0, report_of(news("x.solominer-doctor", connections=0), news("rig", connections=0)))
    assert [(worker.worker.name, worker.state) for worker in miners.snapshot(2.0, True).workers] == [("rig", "lost")]


def test_a_name_with_two_kinds_of_clients_is_one_worker_and_many_names_are_bounded() -> None:
    miners = Miners()
    crowd = [news(f"m{number}", accepted=1) for number in range(MOST_SHOWN + 9)]
    miners.report(0.0, report_of(news("m0", "other/2", accepted=1), *crowd))
    workers = miners.snapshot(1.0, has_work=True).workers
    assert (str(workers[0].worker), workers[0].shares, workers[0].connections) == ("stratum/m0", 2, 2)
    assert len(workers) == MOST_SHOWN + 1
    assert (workers[-1].worker.name, workers[-1].shares) == (Tallies.OTHERS, 9)


def test_hashes_stay_in_the_line_that_they_were_shown_in() -> None:
    """Whoever keeps the sum of each line, as the head of a cluster does of a node's, would count them twice."""
    miners = Miners()

    def lines(*reports: MinerReport) -> dict[str, int]:
        miners.report(1.0, report_of(*reports))
        return {each.worker.name: each.shares for each in miners.snapshot(1.0, has_work=True).workers}

    crowd = [news(f"m{number}", accepted=1) for number in range(MOST_SHOWN)]
    first = lines(news("doctor"), *crowd)
    assert (first["doctor"], first[Tallies.OTHERS], len(first)) == (0, 1, MOST_SHOWN + 1)
    left = lines(news("doctor", connections=0))
    assert left == {name: shares for name, shares in first.items() if name != "doctor"}
    assert lines(news("new", accepted=1)) == left | {"new": 1}
    assert lines(news("doctor", accepted=1)) == left | {"new": 1, Tallies.OTHERS: 2}


def test_what_is_taken_from_a_tally_is_not_counted_again() -> None:
    tally = Tally("rig", "test/1")
    tally.accept(3, 8, 1 << 200)
    tally.reject("Stale", 2)
    taken = tally.take()
    assert (taken.accepted, taken.hashes, taken.hashes_squared, taken.rejected) == (3, 24, 192.0, {"Stale": 2})
    assert not tally
    assert (tally.hashes_squared, tally.best_hash, tally.rejected) == (0.0, b"", {})
    tally.reject("Stale")
    assert taken.rejected == {"Stale": 2}
