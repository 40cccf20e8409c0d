"""Reports of many sealed hours that end now, as a year of mining leaves them; made from one real report."""

from __future__ import annotations

import math
import time
from hashlib import sha256
from pathlib import Path

from solominer.records.evidence.state import REPORT, SEAL, Head, State, read_report, save_state
from solominer.records.ledger.jsonlines import pretty_json
from solominer.records.report.rollup import day_of, write_day
from solominer.records.tree import HOUR_SECS, Part, Tree
from tests.records.builders import HOUR, Bench, mine


def write_hours(data_dir: Path, hours: int) -> Tree:
    """Write so many hours up to the last full one; their rates go up and down once a week."""
    bench = Bench(data_dir)
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    mine(bench, recorder, HOUR + 2)
    recorder.close(HOUR + 100)
    tree, newest = Tree(bench.root), Part.at(time.time()).start - HOUR_SECS
    report = read_report(tree, Part(HOUR))
    assert report is not None
    for section in ("reports", "ledger", "proofs", "errors", "logs", "submissions"):
        (tree.root / section).rename(tree.root.parent / f"first-{section}")
    sequence, part, digest = 0, Part(newest), ""
    for start in range(newest - (hours - 1) * HOUR_SECS, newest + 1, HOUR_SECS):
        before, part, sequence = part, Part(start), sequence + 1
        if sequence > 1 and day_of(before) != day_of(part):
            write_day(tree, "regtest", before)
        rate = 1e13 * (1.5 + math.sin(start / 604_800 * 2 * math.pi))
        interval = {"value": rate, "low": 0.98 * rate, "high": 1.02 * rate, "level": 0.95}
        counts = {"counted": int(rate * HOUR_SECS), "rate_hps": interval}
        best = {**report["best"]["hour"], "difficulty": 1e6 + sequence % 977, "part": part.path}
        document = {
            **report,
            "part": part.path,
            "sequence": sequence,
            "uptime_secs": float(HOUR_SECS),
            "hashes": {**report["hashes"], **counts},
            "best": {"hour": best, "day": best, "all_time": best},
        }
        data = pretty_json(document)
        digest = sha256(data).hexdigest()
        folder = tree.folder("reports", part)
        tree.write(f"reports/{part.path}/{REPORT}", data)
        (folder / SEAL).write_text(f"{digest}  {REPORT}\n")
    save_state(tree, State((), Head(part, sequence, digest)))
    return tree
