"""Shares that the ledger has, read back for the next run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from solominer.records.ledger.ledger import FILE
from solominer.records.ledger.recent_shares import Nonces, recent_shares
from solominer.records.recorder import Recorder
from solominer.records.tree import HOUR_SECS
from solominer.work.actions import ShareSeen
from solominer.work.workers import WorkerId
from tests.work.builders import T0, mining, solution


def test_the_shares_of_one_engine_come_back_from_the_hours_that_count(tmp_path: Path) -> None:
    _, job = mining()
    ours = solution(job)
    theirs = solution(job, start=ours.nonce + 1)
    recorder = Recorder(tmp_path, "regtest", on_alarm=lambda *alarm: None)
    recorder.open(T0.wall)
    for share, engine in ((ours, "cluster"), (theirs, "cpu")):
        found = replace(share, worker=WorkerId(engine, "n1.cpu0"))
        recorder.share(ShareSeen(found, job, bytes(32), stale=False))
    assert recorder.flush(10)
    recorder.close(T0.wall + 1)
    assert recent_shares(recorder.tree, "cluster", T0.wall) == {Nonces.of(ours)}
    assert recent_shares(recorder.tree, "cluster", T0.wall + 2 * HOUR_SECS) == set()


def test_foreign_lines_are_skipped(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "regtest", on_alarm=lambda *alarm: None)
    recorder.open(T0.wall)
    recorder.close(T0.wall + 1)
    (ledger,) = tmp_path.rglob(FILE)
    good = {"kind": "share", "worker": "cluster/n1.cpu0", "extranonce_hex": "00" * 12, "version": 1, "ntime": 2}
    lines = [good, {**good, "extranonce_hex": "x"}, {**good, "extranonce_hex": 7}, {**good, "nonce": 3}]
    with ledger.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    assert recent_shares(recorder.tree, "cluster", 0.0) == {Nonces(bytes(12), 1, 2, 3)}
