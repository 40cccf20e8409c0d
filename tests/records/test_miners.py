"""Sums of miners: from the server's messages through the ledger into the report, whatever their order and size."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.target import HASH_SPACE, expected_hashes
from solominer.insight.best_shares import BestShares
from solominer.records.evidence.verify import verify
from solominer.records.ledger.miner_sums import LISTED, MinerSums, fields_of
from solominer.records.report.hour import HourFold
from solominer.records.report.miners import compared
from solominer.records.report.miners_view import miners_fragment
from solominer.records.report.period import render
from solominer.records.report.report import miners
from solominer.records.report.text import report_text
from solominer.work.miners import NO_HASH, MinerShares
from tests.records.builders import HOUR, Bench, mine
from tests.records.standalone import standalone
from tests.records.test_report import hour_of, reported
from tests.records.test_schemas import check

names = st.sampled_from(["stratum/a", "stratum/b", "stratum/c.1"])
agents = st.sampled_from(["", "cgminer/4.11", "bitaxe/BM1368"])


@st.composite
def shares(draw: st.DrawFn) -> MinerShares:
    count, each = draw(st.integers(0, 5)), draw(st.sampled_from([2, 1 << 20, 1 << 40]))
    return MinerShares(
        draw(names),
        draw(agents),
        count,
        count * each,
        count * float(each) ** 2,
        draw(st.integers(0, HASH_SPACE - 1)) if count else NO_HASH,
        draw(st.dictionaries(st.sampled_from(["Stale", "Duplicate"]), st.integers(1, 9))),
        draw(st.integers(0, 2)),
        draw(st.integers(0, 60)) * 1.0,
        draw(st.integers(0, 60)) / 8,
    )


def fold_of(lines: Sequence[dict[str, Any] | None]) -> HourFold:
    fold = HourFold()
    for number, fields in enumerate(lines):
        if fields is not None:
            line = json.loads(
                json.dumps({"seq": number + 1, "at": HOUR, "up": 60.0 * number, "kind": "miners", **fields})
            )
            check(line, "ledger")
            fold.add(line)
    assert not fold.unparsed
    return fold


@given(st.lists(shares(), max_size=30), st.randoms(use_true_random=False), st.integers(0, 4))
def test_neither_order_nor_batches_nor_minutes_change_the_sums(
    done: list[MinerShares], chance: random.Random, listed: int
) -> None:
    """Against a recount of every message; with few own lines the sum of all still holds."""
    shuffled = chance.sample(done, len(done))
    sums, lines = MinerSums(listed or LISTED), []
    while shuffled:
        size = chance.randint(1, len(shuffled))
        sums.add(shuffled[:size])
        del shuffled[:size]
        if chance.random() < 0.5:
            lines.append(sums.take())
    lines.append(sums.take())
    section = miners(fold_of(lines))
    if not done:
        assert section is None
        return
    assert section is not None
    total = reduce(MinerShares.plus, done)
    assert (section["shares"], section["hashes"], section["connects"]) == (total.shares, total.hashes, total.connects)
    assert section["best"] == (f"{total.best_hash:064x}" if total.shares else None)
    assert section["rejected"] == {reason: count for reason, count in sorted(total.rejected.items()) if count}
    for row in section["workers"] if not listed else ():
        own = reduce(MinerShares.plus, (each for each in done if each.worker == row["worker"]))
        assert (row["shares"], row["hashes"], row["connects"]) == (own.shares, own.hashes, own.connects)


def test_ten_thousand_miners_make_one_line_of_bounded_size_and_the_busiest_are_whole() -> None:
    sums = MinerSums()
    crowd = [MinerShares(f"stratum/m{n}", "x", 1, n, float(n * n), n, {}, 1, 1.0, 1.0) for n in range(1, 10_001)]
    sums.add(crowd)
    first = sums.take()
    sums.add([replace(crowd[0], hashes=1 << 40), crowd[-1]])
    second = sums.take()
    assert first is not None
    assert second is not None
    assert len(first["miners"]) == LISTED
    assert {row["worker"] for row in first["miners"]} == {f"stratum/m{n}" for n in range(9_951, 10_001)}
    assert first["others"]["miners"] == 9_950
    assert len(json.dumps(first)) < 20_000
    assert [row["worker"] for row in second["miners"]] == ["stratum/m10000"]  # m1 came too late for a line of its own
    assert second["others"] == {"miners": 1} | fields_of(replace(crowd[0], hashes=1 << 40))
    section = miners(fold_of([first, second]))
    assert section is not None
    assert section["seen"] == 10_000
    assert section["others"]["miners"] == 9_950
    sums.end_hour()
    sums.add(crowd[:1])
    third = sums.take()
    assert third is not None
    assert third["miners"][0]["worker"] == "stratum/m1"


def test_more_names_than_fit_into_memory_count_as_others() -> None:
    sums = MinerSums(listed=1)
    sums.add(MinerShares(f"stratum/m{n}", "x", 1, 8) for n in range(30_000))
    line = sums.take()
    assert line is not None
    assert line["miners"][0]["shares"] + line["others"]["shares"] == 30_000
    assert sums.take() is None


T = (1 << 224) - 1
EACH = expected_hashes(T)


def minute(chance: random.Random, count: int, *, keep: float = 0.0) -> MinerShares:
    """A minute of a miner at difficulty 1; hashes below the part `keep` of the target are kept back."""
    hashes = [int((keep + (1 - keep) * chance.random()) * T) ^ chance.getrandbits(128) for _ in range(count)]
    best = min(hashes, default=NO_HASH)
    return MinerShares("stratum/a", "x", count, count * EACH, count * float(EACH) ** 2, best, {}, 0, 60.0, 60.0)


def hour_with(chance: random.Random, *, keep: float = 0.0, per_minute: int = 18) -> dict[str, Any]:
    """The row of one miner in an hour."""
    fold = HourFold()
    for number in range(61):
        sums = MinerSums()
        if number:
            sums.add([minute(chance, per_minute, keep=keep)])
        fields = sums.take() or {"miners": []}
        fold.add({"seq": number + 1, "at": HOUR, "up": 60.0 * number, "kind": "miners", **fields})
    section = miners(fold)
    assert section is not None
    row: dict[str, Any] = section["workers"][0]
    return row


def test_a_miner_that_keeps_its_best_shares_back_is_noticed_and_an_honest_one_is_not() -> None:
    chance = random.Random(1)
    assert not any(hour_with(chance)["alarms"] for _ in range(60))
    assert all(hour_with(chance, keep=0.05)["alarms"] == ["best hashes"] for _ in range(20))


def test_shares_of_next_to_no_hashes_are_not_tested() -> None:
    tests = BestShares()
    tests.add(1 << 254, 1000, 2000, 4000.0)
    assert not tests.samples
    assert [finding.p_value for finding in tests.findings()] == [1.0, 1.0]


def test_hashes_whose_low_bits_are_no_fair_coins_are_noticed() -> None:
    chance, tests = random.Random(4), BestShares()
    for _ in range(60):
        best = min(chance.randrange(T) for _ in range(32)) & ~1
        tests.add(best, 32, 32 * EACH, 32 * float(EACH) ** 2)
    assert [finding.test for finding in tests.findings() if finding.alarm] == ["hash bits"]


def test_the_rate_has_the_gamma_interval_of_its_shares() -> None:
    rate = hour_with(random.Random(2))["rate_hps"]
    assert rate["value"] == pytest.approx(18 * EACH / 60)
    assert rate["low"] == pytest.approx(1017.05 * EACH / 3600, rel=1e-4)  # Gamma(1080.5) at 2.5 % and 97.5 %
    assert rate["high"] == pytest.approx(1145.86 * EACH / 3600, rel=1e-4)
    silent = hour_with(random.Random(2), per_minute=0)
    assert silent["rate_hps"]["value"] == 0.0
    assert silent["rate_hps"]["high"] == pytest.approx(2.5119 * 2**32 / 3600, rel=1e-4)  # Gamma(1/2), an hour at 1


@pytest.mark.parametrize(("part", "flagged"), [(1.0, False), (0.2, True)])
def test_shares_that_are_recorded_whole_are_held_against_the_credited_hashes(part: float, flagged: bool) -> None:
    """Of a hundred shares that are to be recorded one by one, all or a fifth arrive."""
    fold = hour_of(round(100 * part), 0.0, seed=3)  # shares of cpu/0 by kernel k
    done = MinerShares("cpu/0", "k", 50_000, 100 * EACH, 100 * float(EACH) ** 2 / 500, 1 << 200, {}, 1, 3600.0, 1.0)
    sums = MinerSums()
    sums.add([done])
    fold.add({"seq": 2, "at": HOUR, "up": 3600.0, "kind": "miners", **(sums.take() or {})})
    report = reported(fold)
    assert report["miners"]["workers"][0]["mismatch"]["flagged"] is flagged
    assert report["miners"]["user_agents"][0]["mismatch"]["flagged"] is flagged
    assert (
        "MISMATCH: too few shares" in report_text({**report, "evidence": {**report["evidence"], "mismatch": None}})
    ) is flagged


ODD: list[dict[str, Any]] = [
    {},
    {"miners": 1},
    {"miners": [{"worker": "a"}]},
    {"miners": [{"worker": "a", "user_agent": "b", "shares": -1}]},
    {"miners": [{"worker": "a", "user_agent": "b", "shares": 1.0}]},
    {"miners": [{"worker": "a", "user_agent": "b", "best": "00"}]},
    {"miners": [{"worker": "a", "user_agent": "b", "rejected": {str(n): 1 for n in range(65)}}]},
    {"miners": [{"worker": "a", "user_agent": "b", "shares": 1}, {"worker": "a"}]},
    {"miners": [], "others": {"shares": 5}},
]


@pytest.mark.parametrize("fields", ODD)
def test_nothing_counts_of_a_malformed_line(fields: dict[str, Any]) -> None:
    fold = HourFold()
    fold.add({"seq": 1, "at": HOUR, "up": 0.0, "kind": "miners", **fields})
    assert fold.unparsed == 1
    assert miners(fold) is None


def test_names_of_strangers_are_escaped_and_shortened_in_the_middle() -> None:
    sums = MinerSums()
    sums.add(
        [MinerShares("stratum/bc1q" + "x" * 80 + "end.rig1", "<b>\x1b[31m", 3, 3 * EACH, 3.0 * EACH**2, 5, {"<i>": 2})]
    )
    section = miners(fold_of([sums.take()]))
    text, html = report_text(reported(fold_of([sums.take()])) | {"miners": section}), miners_fragment(section)
    assert "bc1qxxxx" in text
    assert "xend.rig1: " in text
    assert "\x1b" not in text + html
    assert "<b>" not in html
    assert "<i>" not in html


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "data")


def record_hour(bench: Bench) -> Path:
    """An hour with two miners and a second begun; the folder of the hour's report."""
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    rig = MinerShares("stratum/rig.1", "cgminer/4", 4, 4 * EACH, 4.0 * EACH**2, 77, {"Stale": 2}, 1, 30.0, 1.0)
    recorder.miners([rig, replace(rig, worker="stratum/rig.2", user_agent="bitaxe", best_hash=99)])
    recorder.miners([rig])
    recorder.record(HOUR + 3, "stratum_ended", {"reason": "was ended by signal 9"})
    recorder.tick(HOUR + 3600)
    recorder.miners([replace(rig, worker="stratum/late")])
    recorder.close(HOUR + 3700)
    return bench.root / "reports/2026/11/21/07"


def test_an_hour_has_its_miners_and_both_verifiers_add_them_up(bench: Bench) -> None:
    folder = record_hour(bench)
    report = json.loads((folder / "report.json").read_text())
    check(report)
    section = report["miners"]
    assert (section["shares"], section["rejected"], section["connects"]) == (12, {"Stale": 6}, 3)
    assert [(row["worker"], row["shares"]) for row in section["workers"]] == [
        ("stratum/rig.1", 8),
        ("stratum/rig.2", 4),
    ]
    assert [row["user_agent"] for row in section["user_agents"]] == ["cgminer/4", "bitaxe"]
    assert section["best"] == f"{77:064x}"
    assert "exited unexpectedly (1 times)" in (text := render(bench.recorder().tree, "regtest", "2026/11/21/07"))
    assert "rig.1" in text
    assert "cgminer/4" in render(bench.recorder().tree, "regtest", "2026/11/21/07", "html")
    later = json.loads((folder.parent / "08/report.json").read_text())["miners"]
    assert [row["worker"] for row in later["workers"]] == ["stratum/late"]
    assert verify(bench.root).holds
    assert standalone(bench.root, "--shares").holds


CHANGES = {
    "shares": lambda section: section | {"shares": 13},
    "hashes of a miner": lambda section: section["workers"][0].update(hashes=1.0) or section,
    "a best hash": lambda section: section["user_agents"][1].update(best=f"{98:064x}") or section,
    "a reason": lambda section: section["rejected"].update(Duplicate=1) or section,
    "all of it": lambda section: None,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_both_verifiers_find_a_report_whose_miners_are_not_those_of_the_ledger(bench: Bench, change: Any) -> None:
    """The hashes of the files are another matter: only the sums are looked at here."""
    from solominer.records.evidence.content import check_ledger
    from solominer.records.evidence.findings import VerifyResult
    from tests.records.standalone import check_ledger as check_standalone

    folder = record_hour(bench)
    report = json.loads((folder / "report.json").read_text())
    report["miners"] = change(report["miners"])
    ledger = bench.root / "ledger/2026/11/21/07/ledger.jsonl"
    result = VerifyResult()
    check_ledger("ledger", ledger, report, result)
    ((_, reason),) = result.wrong
    assert reason.startswith("the report differs")
    with pytest.raises((ValueError, KeyError)):
        check_standalone(ledger, report)


def test_the_sums_compared_are_those_of_all_of_each_name_and_of_each_client(bench: Bench) -> None:
    section = json.loads((record_hour(bench) / "report.json").read_text())["miners"]
    assert {what.split(" of ")[-1] for what in compared(section)} == {
        "all miners",
        "miner stratum/rig.1",
        "miner stratum/rig.2",
        "client cgminer/4",
        "client bitaxe",
    }
