"""The recorder over hours, restarts, crashes, stepped clocks and full disks: nothing is lost, everything verifies.

A crash is a copy of the tree as it lay on the disk while the recorder was still open.
"""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.config.load import load_config
from solominer.daemon.parts import recorder_of
from solominer.errors import AlreadyRunning, RecordsError
from solominer.records.evidence.verify import verify
from solominer.records.recorder import Recorder
from solominer.records.settings import RecorderSettings
from solominer.work.actions import ShareSeen
from solominer.work.events import NodeHealth
from solominer.work.found import BlockState
from solominer.work.instant import Instant
from solominer.work.workers import EngineSnapshot, WorkerId, WorkerSnapshot
from tests.fakes import ANY_HASH
from tests.records.builders import HOUR, Bench, counted, files_up_to, make_block, make_job, make_share, mine
from tests.records.standalone import check_ledger, standalone


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "data")


def crashed(bench: Bench, tmp_path: Path) -> Bench:
    """The same folder as a kill -9 would leave it now."""
    copy = Bench(tmp_path / "crashed", bench.settings, bench.up)
    shutil.copytree(bench.data_dir, copy.data_dir, symlinks=True)
    return copy


def ledger(bench: Bench, part: str) -> list[dict[str, Any]]:
    """All entries of a part."""
    lines = (bench.root / "ledger" / part / "ledger.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def report(bench: Bench, part: str) -> dict[str, Any]:
    """A part's report."""
    value: dict[str, Any] = json.loads((bench.root / "reports" / part / "report.json").read_text())
    return value


def holds(bench: Bench) -> bool:
    """The one answer of both verifiers about the whole tree."""
    ours, alone = verify(bench.root, thorough=True), standalone(bench.root, "--shares")
    assert ours.holds == alone.holds, (list(ours.lines()), alone.output)
    return ours.holds


def sequences(bench: Bench) -> list[int]:
    """The numbers of all ledger lines, over all parts in the order of their reports."""
    parts = sorted((report(bench, part.path)["sequence"], part.path) for part in _tree(bench).parts())
    return [entry["seq"] for _, part in parts for entry in ledger(bench, part)]


def _tree(bench: Bench) -> Any:
    return bench.recorder().tree


def open_at(bench: Bench, at: float) -> Recorder:
    recorder = bench.recorder()
    recorder.open(at)
    return recorder


def turn(bench: Bench, recorder: Recorder, at: float) -> None:
    """Time passes up to `at`, by the monotonic clock for an hour."""
    bench.up += 3600
    recorder.tick(at)
    assert recorder.flush(30)


def test_hours_turn_into_a_chain_of_reports(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 0.5)
    mine(bench, recorder, HOUR + 1, blocks=3)
    turn(bench, recorder, HOUR + 3600)
    turn(bench, recorder, HOUR + 7200)
    assert (bench.root / "reports" / "latest").readlink() == Path("2026/11/21/08")
    mine(bench, recorder, HOUR + 7300)
    recorder.close(HOUR + 7400)
    first, second, third = (report(bench, f"2026/11/21/{hour}") for hour in ("07", "08", "09"))
    assert (first["why"], second["why"], third["why"]) == ("hour", "hour", "shutdown")
    assert [r["sequence"] for r in (first, second, third)] == [1, 2, 3]
    assert first["previous"] is None
    assert third["previous"]["part"] == "2026/11/21/08"
    assert (first["shares"]["found"], first["blocks"]["found"], first["hashes"]["counted"]) == (60, 3, 120)
    assert (second["shares"]["found"], second["hashes"]["counted"]) == (0, 0)
    assert third["totals"]["shares"] == 80
    assert third["best"]["all_time"]["hash"] == min(first["best"]["hour"]["hash"], third["best"]["hour"]["hash"])
    assert sequences(bench) == list(range(1, sequences(bench)[-1] + 1))
    text = (bench.root / "hours.txt").read_text()
    assert text.count("=== regtest") == 3
    assert bench.alarms == []
    assert holds(bench)


def test_counted_and_credited_hashes_and_each_shares_own_target_are_recorded_and_verified(bench: Bench) -> None:
    recorder, job = open_at(bench, HOUR + 1), make_job()
    recorder.job(HOUR + 2, job)
    targets = (0, job.share_target, ANY_HASH, 1)  # the last is harder than the network's: that one is what holds
    for number, target in enumerate(targets):
        share, hash_le = make_share(job, number, worker=number)
        share = replace(share, worker=WorkerId("stratum", f"w{number}"), share_target=target)
        recorder.share(ShareSeen(share, job, hash_le, stale=False))
    workers = [WorkerSnapshot(WorkerId("stratum", "w2"), "hashing", hashes_credited=3.0 * 2**32, share_target=ANY_HASH)]
    for second, hashes in enumerate((1000, 2000, 3000)):
        bench.up += 1
        recorder.counters(HOUR + 3 + second, counted({0: hashes}))
        gpu = WorkerSnapshot(WorkerId("gpu", "0"), "hashing", hashes, share_target=job.share_target >> (second > 1))
        recorder.counters(HOUR + 3 + second, EngineSnapshot("other", (*workers, gpu), 2))
    recorder.close(HOUR + 9)
    lines = ledger(bench, "2026/11/21/07")
    own = [line.get("share_target_hex") for line in lines if line["kind"] == "share"]
    assert own == [None, None, f"{ANY_HASH:064x}", None]
    told = [line for line in lines if line["kind"] == "counters"]
    assert [line["share_targets"]["gpu/0"] for line in told if "share_targets" in line] == [
        f"{job.share_target:064x}", f"{job.share_target >> 1:064x}"
    ]  # fmt: skip
    assert told[-1]["credited"] == {"stratum/w2": 3.0}
    hashes = report(bench, "2026/11/21/07")["hashes"]
    assert (hashes["counted"], hashes["credited"]) == (6000, 3.0 * 2**32)
    assert {name: sums["shares"] for name, sums in hashes["engines"].items()} == {"cpu": 0, "gpu": 0, "stratum": 4}
    for altered in ({"counted": 5999}, {"credited": 4.0 * 2**32}):
        lie = {**report(bench, "2026/11/21/07"), "hashes": {**hashes, **altered}}
        with pytest.raises(ValueError, match="in the ledger"):
            check_ledger(bench.root / "ledger/2026/11/21/07/ledger.jsonl", lie)
    assert "6 kH counted, 12.88 GH credited" in (bench.root / "reports/2026/11/21/07/report.txt").read_text()
    assert holds(bench)


def test_who_connects_and_never_does_anything_is_no_worker_of_the_hour(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    idle = (
        WorkerId("stratum", "bc1q.solominer-doctor"), WorkerId("cluster", "site2.stratum"),
        WorkerId("cluster", "site2.stratum/rack1"), WorkerId("cpu", "0"), WorkerId("cluster", "site2.cpu0"),
    )  # fmt: skip
    for second in range(2):
        bench.up += 60
        rig = WorkerSnapshot(WorkerId("stratum", "rig"), "hashing", hashes_credited=second * 2.0**32, shares=second)
        late = WorkerSnapshot(WorkerId("stratum", "late"), "hashing", shares=1)  # what it sent was of no use
        recorder.counters(
            HOUR + 60 * second + 3,
            EngineSnapshot("all", (rig, late, *(WorkerSnapshot(each, "idle") for each in idle)), 1),
        )
    recorder.close(HOUR + 99)
    hashes = report(bench, "2026/11/21/07")["hashes"]
    assert {each["worker"] for each in hashes["workers"]} == {
        "stratum/rig",
        "stratum/late",
        "cpu/0",
        "cluster/site2.cpu0",
    }
    assert hashes["workers_seen"] == 4
    assert holds(bench)


def test_an_hour_in_which_miners_did_nothing_has_a_rate_all_the_same(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    for minute in range(1, 3):
        bench.up += 60
        idle = WorkerSnapshot(WorkerId("stratum", "idle"), "hashing")
        recorder.counters(HOUR + 60 * minute, EngineSnapshot("stratum", (idle,), 1))
    recorder.close(HOUR + 120)
    assert report(bench, "2026/11/21/07")["hashes"]["rate_hps"]["value"] == 0
    assert holds(bench)


def test_a_share_of_the_hour_before_can_still_be_hashed_again(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    job = make_job()
    recorder.job(HOUR + 2, job)
    turn(bench, recorder, HOUR + 3600)
    newer = make_job(2, 201)
    recorder.job(HOUR + 3601, newer)
    turn(bench, recorder, HOUR + 7200)
    share, hash_le = make_share(job)
    recorder.share(ShareSeen(replace(share, at=Instant(HOUR + 7201, HOUR + 7201)), job, hash_le, stale=True))
    recorder.close(HOUR + 7300)
    entries = ledger(bench, "2026/11/21/09")
    assert [entry["kind"] for entry in entries] == ["begin", "work", "work", "share", "close"]
    assert report(bench, "2026/11/21/09")["shares"]["stale"] == 1
    assert holds(bench)


def test_a_restart_within_the_hour_leaves_the_sealed_part_as_it_is(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    recorder.close(HOUR + 100)
    before = {path: path.read_bytes() for path in bench.root.rglob("2026/11/21/07/**/*") if path.is_file()}
    recorder = open_at(bench, HOUR + 200)
    mine(bench, recorder, HOUR + 200)
    recorder.close(HOUR + 300)
    assert {path: path.read_bytes() for path in before} == before
    assert report(bench, "2026/11/21/07.2")["totals"]["shares"] == 40
    assert holds(bench)


def test_a_crash_within_the_hour_goes_on_in_the_same_part(bench: Bench, tmp_path: Path) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    assert recorder.flush(30)
    after = crashed(bench, tmp_path)
    recorder.close(HOUR + 50)
    file = after.root / "ledger" / "2026/11/21/07" / "ledger.jsonl"
    with file.open("ab") as torn:
        torn.write(b'{"seq":99,"at":17')
    (after.root / "ledger" / "2026/11/21/07" / ".x.1-1.tmp").write_bytes(b"half")
    recorder = open_at(after, HOUR + 60)
    mine(after, recorder, HOUR + 60)
    recorder.close(HOUR + 100)
    told = report(after, "2026/11/21/07")
    assert (told["shares"]["found"], told["hashes"]["counted"], told["runs_started"]) == (40, 80, 2)
    assert told["ledger"]["torn_bytes"] == 17
    assert b'{"seq":99,"at":17\n' in file.read_bytes()
    result = verify(after.root)
    assert result.holds, list(result.lines())
    assert standalone(after.root, "--shares").holds


def test_a_crash_an_hour_ago_is_reported_at_the_next_start(bench: Bench, tmp_path: Path) -> None:
    recorder = open_at(bench, HOUR + 1)
    (block,) = mine(bench, recorder, HOUR + 1)
    assert recorder.flush(30)
    after = crashed(bench, tmp_path)
    recorder.close(HOUR + 50)
    shutil.rmtree(after.root / "proofs")
    recorder = after.recorder()
    replay = recorder.open(HOUR + 9000)
    assert [entry.block for entry in replay.blocks] == [block]
    recorder.close(HOUR + 9100)
    told = report(after, "2026/11/21/07")
    assert (told["why"], told["shares"]["found"], told["to"]) == ("recovered", 20, "2026-11-21T07:00:03Z")
    proof = json.loads((after.root / "proofs/2026/11/21/07" / f"200-{block.hash_hex}.json").read_text())
    assert [state["state"] for state in proof["states"]] == ["accepted"]
    assert holds(after)


def test_two_torn_hours_are_both_closed_off(bench: Bench, tmp_path: Path) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    assert recorder.flush(30)
    after = crashed(bench, tmp_path)
    turn(bench, recorder, HOUR + 3601)
    mine(bench, recorder, HOUR + 3602)
    assert recorder.flush(30)
    shutil.copytree(bench.root / "ledger" / "2026/11/21/08", after.root / "ledger" / "2026/11/21/08")
    recorder.close(HOUR + 3650)
    for part in ("07", "08"):  # a full disk kept the first one from being sealed
        with (after.root / "ledger" / "2026/11/21" / part / "ledger.jsonl").open("ab") as torn:
            torn.write(b'{"seq":99')
    recorder = open_at(after, HOUR + 3700)
    recorder.close(HOUR + 3750)
    assert [report(after, f"2026/11/21/{part}")["ledger"]["torn_bytes"] for part in ("07", "08")] == [9, 9]
    assert holds(after)


@pytest.mark.parametrize("lost", ["state.json", "reports/latest", "hours.txt"])
def test_what_is_no_evidence_may_be_lost(bench: Bench, tmp_path: Path, lost: str) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    turn(bench, recorder, HOUR + 3600)
    mine(bench, recorder, HOUR + 3601)
    assert recorder.flush(30)
    after = crashed(bench, tmp_path)
    recorder.close(HOUR + 3700)
    (after.root / lost).unlink()
    recorder = open_at(after, HOUR + 7300)
    recorder.close(HOUR + 7400)
    assert [report(after, f"2026/11/21/{hour}")["sequence"] for hour in ("07", "08", "09")] == [1, 2, 3]
    assert report(after, "2026/11/21/09")["totals"]["shares"] == 40
    assert holds(after)


@pytest.mark.parametrize("unfinished", ["report.json.sha256", "report.json", "SHA256SUMS"])
def test_a_crash_while_sealing_is_sealed_again(bench: Bench, tmp_path: Path, unfinished: str) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    assert recorder.flush(30)
    open_state = (bench.root / "state.json").read_bytes()
    recorder.close(HOUR + 50)
    folder = bench.root / "reports" / "2026/11/21/07"
    names = ["SHA256SUMS", "report.json", "report.json.sha256"]
    for name in names[names.index(unfinished) :]:
        (folder / name).unlink()
    (bench.root / "state.json").write_bytes(open_state)
    recorder = open_at(bench, HOUR + 3700)
    recorder.close(HOUR + 3800)
    assert report(bench, "2026/11/21/07")["why"] == "recovered"
    assert holds(bench)


def test_a_crash_just_after_sealing_does_not_seal_again(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    assert recorder.flush(30)
    open_state = (bench.root / "state.json").read_bytes()
    recorder.close(HOUR + 50)
    before = {path: path.read_bytes() for path in bench.root.rglob("2026/11/21/07/**/*") if path.is_file()}
    (bench.root / "state.json").write_bytes(open_state)
    (bench.root / "reports" / "latest").unlink()
    recorder = open_at(bench, HOUR + 100)
    assert (bench.root / "reports" / "latest").readlink() == Path("2026/11/21/07")
    recorder.close(HOUR + 200)
    assert {path: path.read_bytes() for path in before} == before
    assert report(bench, "2026/11/21/07.2")["sequence"] == 2
    assert holds(bench)


@pytest.mark.parametrize("back_secs", [3600, 7200, 86_400])
def test_a_clock_that_goes_back_overwrites_nothing(bench: Bench, back_secs: int) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    turn(bench, recorder, HOUR + 3600)
    mine(bench, recorder, HOUR + 3700)
    before = {path: path.read_bytes() for path in bench.root.rglob("2026/11/21/07/**/*") if path.is_file()}
    recorder.tick(HOUR + 3800 - back_secs)
    mine(bench, recorder, HOUR + 3800 - back_secs)
    turn(bench, recorder, HOUR + 7200 - back_secs)
    mine(bench, recorder, HOUR + 7300 - back_secs)
    recorder.close(HOUR + 7400 - back_secs)
    assert {path: path.read_bytes() for path in before} == before
    assert report(bench, "2026/11/21/08")["why"] == "clock"
    ups = [entry["up"] for part in ("2026/11/21/07", "2026/11/21/08") for entry in ledger(bench, part)]
    assert ups == sorted(ups)
    assert sequences(bench) == list(range(1, sequences(bench)[-1] + 1))
    assert holds(bench)


def test_a_small_step_back_stays_in_the_hour_and_is_told(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 100)
    recorder.record(HOUR + 110, "tip", {})
    recorder.tick(HOUR - 20)
    recorder.record(HOUR - 20, "tip", {})
    recorder.close(HOUR + 50)
    told = report(bench, "2026/11/21/07")
    assert told["clock_went_back_secs"] == 130
    assert told["work"]["tip"] == 2


def test_a_restart_with_the_clock_behind_the_newest_report(bench: Bench) -> None:
    for at in (HOUR + 90_000, HOUR, HOUR + 90_000):
        recorder = open_at(bench, at)
        mine(bench, recorder, at)
        recorder.close(at + 100)
    assert [report(bench, part)["sequence"] for part in ("2026/11/22/08", "2026/11/21/07", "2026/11/22/08.2")] == [
        1,
        2,
        3,
    ]
    assert holds(bench)


def test_two_daemons_do_not_share_a_folder(bench: Bench) -> None:
    recorder = open_at(bench, HOUR)
    with pytest.raises(AlreadyRunning):
        bench.recorder().open(HOUR)
    recorder.close(HOUR + 1)
    open_at(bench, HOUR + 2).close(HOUR + 3)


def test_two_runs_of_one_second_and_one_pid_are_told_apart(bench: Bench) -> None:
    """In a container every run has the same pid, and a supervisor may start the next within the second."""
    open_at(bench, HOUR).close(HOUR)
    open_at(bench, HOUR).close(HOUR)
    lines = ledger(bench, "2026/11/21/07") + ledger(bench, "2026/11/21/07.2")
    runs = [line["run"] for line in lines if line["kind"] == "begin"]
    assert len(set(runs)) == len(runs) == 2
    assert {len(run) for run in runs} == {12}


def bytes_left(bench: Bench) -> int:
    """A limit of file sizes that leaves 100 bytes for the ledger."""
    return (bench.root / "ledger" / "2026/11/21/07" / "ledger.jsonl").stat().st_size + 100


def test_a_disk_that_is_full_for_a_while_loses_nothing(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    assert recorder.flush(30)
    with files_up_to(bytes_left(bench)):
        mine(bench, recorder, HOUR + 200)
        assert not recorder.flush(30), "nobody may be told that it is written"
        bench.up += 3600
        recorder.tick(HOUR + 3600)
        recorder.record(HOUR + 3601, "tip", {})
        assert not recorder.flush(30), "nobody may be told that it is written"
    assert [code for _, code, _, _ in bench.alarms] == ["records-failing"]
    assert recorder.flush(30)
    assert [code for _, code, _, _ in bench.alarms] == ["records-failing", "records-recovered"]
    recorder.close(HOUR + 3700)
    assert report(bench, "2026/11/21/07")["shares"]["found"] == 40
    assert sequences(bench) == list(range(1, sequences(bench)[-1] + 1))


def test_an_end_that_cannot_be_written_is_told_and_the_next_start_seals_the_hour(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    assert recorder.flush(30)
    with files_up_to(bytes_left(bench)):
        mine(bench, recorder, HOUR + 200)
        with pytest.raises(
            RecordsError, match=r"the end of this run is lost: the records in .* cannot be written"
        ) as told:
            recorder.close(HOUR + 300)
    assert "the next start seals the hour" in told.value.todo
    open_at(bench, HOUR + 3700).close(HOUR + 3701)
    assert report(bench, "2026/11/21/07")["why"] == "recovered"
    assert holds(bench)
    assert holds(bench)


def test_what_does_not_fit_the_memory_is_counted_and_blocks_are_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data", RecorderSettings(max_waiting_bytes=5000))
    recorder = open_at(bench, HOUR + 1)
    assert recorder.flush(30)
    with files_up_to(0):
        job = make_job()
        for number in range(200):
            share, hash_le = make_share(job, number)
            recorder.share(ShareSeen(share, job, hash_le, stale=False))
        recorder.record(HOUR + 2, "block_found", {"height": 200, "hash": "00"})
        assert not recorder.flush(30)
    recorder.close(HOUR + 3700)
    told = report(bench, "2026/11/21/07")
    assert told["blocks"]["found"] == 1
    assert 0 < told["shares"]["found"] < 200
    lost = sum(
        entry["entries"]
        for part in _tree(bench).parts()
        for entry in ledger(bench, part.path)
        if entry["kind"] == "lost"
    )
    assert told["shares"]["found"] + lost == 200


def test_a_full_queue_drops_shares_and_counts_them(bench: Bench) -> None:
    bench.settings = RecorderSettings(queue_entries=50)
    recorder = open_at(bench, HOUR + 1)
    job = make_job()
    share, hash_le = make_share(job)
    for _ in range(5000):
        recorder.share(ShareSeen(share, job, hash_le, stale=False))
    recorder.close(HOUR + 3)
    entries = ledger(bench, "2026/11/21/07")
    written = sum(entry["kind"] == "share" for entry in entries)
    lost = sum(entry["entries"] for entry in entries if entry["kind"] == "lost")
    assert written + lost == 5000
    assert written >= 50


def test_errors_are_told_once_and_counted(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    for number in range(7):
        message = f"cannot reach http://user:hunter2@host:{8332 + number}/"
        recorder.error(HOUR + number, "high", "node", message, done="retried")
    recorder.error(HOUR + 9, "critical", "block-rejected", "bad-cb-amount")
    recorder.close(HOUR + 100)
    document = json.loads((bench.root / "errors/2026/11/21/07/errors.json").read_text())
    worst, node = document["errors"]
    assert (worst["severity"], worst["count"]) == ("critical", 1)
    assert (node["count"], node["first_at"], node["last_at"], node["done"]) == (7, HOUR, HOUR + 6, "retried")
    assert report(bench, "2026/11/21/07")["errors"]["high"] == 7
    assert not any(b"hunter2" in path.read_bytes() for path in bench.root.rglob("*") if path.is_file())


def test_readings_are_thinned_but_changes_are_told(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    for second in range(120):
        bench.up += 1
        recorder.system(HOUR + second, {"cpu_percent": float(second)})
        recorder.counters(HOUR + second, counted({0: second * 1000}))
        recorder.health(HOUR + second, NodeHealth("node0", True, problem="no peers" if second == 30 else ""))
    recorder.close(HOUR + 200)
    kinds = [entry["kind"] for entry in ledger(bench, "2026/11/21/07")]
    assert kinds.count("system") == 2
    assert 2 <= kinds.count("counters") <= 4
    assert kinds.count("health") == 4
    told = report(bench, "2026/11/21/07")
    assert told["hashes"]["counted"] == 119_000
    assert told["nodes"][0]["unusable_samples"] == 1


def test_an_hours_rate_is_over_its_idle_time_too(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    for second in (60, 120, 600):  # nothing is hashed after the first minute
        bench.up = float(second)
        recorder.counters(HOUR + second, counted({0: 6000}))
    bench.up = 1000.0
    recorder.close(HOUR + 1000)
    told = report(bench, "2026/11/21/07")
    rate = told["hashes"]["rate_hps"]["value"]
    assert rate * told["uptime_secs"] == pytest.approx(6000, rel=0.01)
    assert told["hashes"]["workers"][0]["rate_hps"] == pytest.approx(rate, rel=0.01)


def test_a_node_that_tells_something_else_every_time_is_not_remembered_for_ever(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    for height in range(500):
        recorder.health(HOUR + 2, NodeHealth("node0", True, problem=f"the node is behind: {height} blocks"))
    recorder.flush()
    assert len(recorder._books._written_up) + len(recorder._books._written_change) < 10
    recorder.close(HOUR + 3)


def test_news_of_an_old_block_is_proved_in_the_hour_in_which_it_comes(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    (block,) = mine(bench, recorder, HOUR + 1)
    recorder.close(HOUR + 100)
    recorder = open_at(bench, HOUR + 3601)
    fields = {"height": block.height, "hash": block.hash_hex, "state": "mature", "detail": "100 confirmations"}
    recorder.record(HOUR + 3602, "block_state", fields)
    recorder.journal.note_state(block.height, block.hash_le, HOUR + 3602, BlockState.MATURE)
    recorder.close(HOUR + 3700)
    proof = json.loads((bench.root / "proofs/2026/11/21/08" / f"200-{block.hash_hex}.json").read_text())
    assert [state["state"] for state in proof["states"]] == ["accepted", "mature"]
    assert holds(bench)


def test_what_is_simulated_says_so(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "demo", network="mainnet", on_alarm=lambda *told: None)
    recorder.open(HOUR)
    recorder.close(HOUR + 1)
    assert (tmp_path / "demo" / "hours.txt").read_text().startswith("=== demo (on mainnet) 2026/11/21/07 UTC")
    assert not recorder.flush(1)


def test_the_log_goes_into_the_hour(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    handler = recorder.log_handler()
    handler.handle(logging.LogRecord("solominer", logging.INFO, "", 0, "height %d", (5,), None))
    recorder.close(HOUR + 2)
    assert (bench.root / "logs/2026/11/21/07/solominer.log").read_text() == "height 5\n"


def test_a_fault_inside_costs_one_entry_and_is_told(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    cycle: list[Any] = []
    cycle.append(cycle)
    recorder.record(HOUR + 2, "tip", {"cycle": cycle})
    recorder.record(HOUR + 3, "tip", {})
    recorder.close(HOUR + 4)
    assert [code for _, code, _, _ in bench.alarms] == ["records-fault"]
    assert [entry["kind"] for entry in ledger(bench, "2026/11/21/07")][-2:] == ["tip", "close"]


def test_odd_values_become_text(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    recorder.record(HOUR + 2, "odd", {"big": 1 << 90, "bytes": b"\x01", "path": Path("/x"), "set": {1}, "kind": "no"})
    recorder.close(HOUR + 3)
    odd = next(entry for entry in ledger(bench, "2026/11/21/07") if entry["kind"] == "odd")
    assert (odd["big"], odd["bytes"], odd["path"], odd["set"]) == (1 << 90, "01", "/x", [1])


def test_a_changed_report_is_told_at_start_and_mining_goes_on(bench: Bench) -> None:
    recorder = open_at(bench, HOUR + 1)
    recorder.close(HOUR + 2)
    path = bench.root / "reports" / "2026/11/21/07" / "report.json"
    path.write_bytes(b'{"schema": "solominer-report/1"}')
    recorder = open_at(bench, HOUR + 3700)
    make_block(make_job())
    recorder.close(HOUR + 3800)
    errors = json.loads((bench.root / "errors/2026/11/21/08/errors.json").read_text())["errors"]
    assert errors[0]["code"] == "report-changed"
    assert not holds(bench)
    assert "reports/2026/11/21/07/report.json" in dict(verify(bench.root).wrong)


def test_hashes_are_held_against_the_target_under_which_they_were_done(bench: Bench) -> None:
    """Within one minute: a million hashes where a share takes 100, then another million where it takes 10,000."""
    recorder = open_at(bench, HOUR + 1)
    for second, (job_id, hashes_a_share, hashes) in enumerate(
        [(1, 100, 0), (2, 10_000, 1_000_000), (2, 10_000, 2_000_000)]
    ):
        bench.up += 1
        recorder.counters(HOUR + second, counted({0: hashes}))
        recorder.job(HOUR + second, replace(make_job(job_id), share_target=2**256 // hashes_a_share - 1))
    recorder.close(HOUR + 10)
    assert report(bench, "2026/11/21/07")["shares"]["expected"] == pytest.approx(1_000_000 / 100 + 1_000_000 / 10_000)


def test_alarms_keep_their_severity_on_the_way_to_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = load_config(overrides={"mode": "demo", "data_dir": str(tmp_path)}, environ={})
    alarm = recorder_of(config)._books._alarm
    with caplog.at_level(logging.INFO, "solominer.daemon.daemon"):
        alarm("info", "records-recovered", "the records are written again", "")
        alarm("medium", "clock", "it is wrong", "set it")
        alarm("critical", "records-failing", "the disk is full", "make room")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "the records are written again [records-recovered]"),
        ("WARNING", "it is wrong -> set it [clock]"),
        ("CRITICAL", "the disk is full -> make room [records-failing]"),
    ]
