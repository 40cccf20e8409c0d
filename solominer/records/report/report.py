"""The hourly report as JSON values: one part's sums, confidence intervals and totals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from solominer import __version__
from solominer.chain.target import difficulty, expected_hashes
from solominer.insight.estimate import from_counters, from_order_statistic, from_share_sums, from_shares
from solominer.insight.mismatch import check_claim
from solominer.insight.odds import luck
from solominer.records.evidence.state import REPORT_SCHEMA, Head
from solominer.records.report.errors_log import SEVERITIES
from solominer.records.report.formats import interval, mismatch
from solominer.records.report.hour import HourFold
from solominer.records.report.tally import WorkerTally
from solominer.records.tree import Part, utc_text

LISTED_BLOCKS = 50
LISTED_WORKERS = 100

MIN_HASHES_PER_SHARE = 1 << 16
"""Below this a kernel may report only the first of several shares in a slice (regtest), so shares are no evidence."""

Previous = Mapping[str, Any]


def build_report(
    fold: HourFold,
    *,
    network: str,
    tree: str,
    part: Part,
    why: str,
    head: Head | None,
    previous: Previous | None,
    retired: list[dict[str, Any]],
) -> dict[str, Any]:
    """The report of one part, without the hash of its files (docs/schemas/report.schema.json).

    `tree` is the name of the network's folder, such as `demo` or `staging-mainnet`. `why` is the reason that the part
    ended: `hour`, `shutdown`, `clock` or `recovered`. `previous` is the report of `head`, whose totals and bests are
    continued; if it is None, they restart from zero.
    """
    at_pools = 0.0 if tree.startswith("pool-") else fold.pools.expected_blocks  # where blocks are not ours
    expected_blocks = fold.counts.expected_blocks - at_pools
    return {
        "schema": REPORT_SCHEMA,
        "solominer": __version__,
        "network": network,
        "tree": tree,
        "part": part.path,
        "sequence": 1 if head is None else head.sequence + 1,
        "previous": None if head is None else {"part": head.part.path, "sha256": head.sha256},
        "why": why,
        "from": _utc(fold.from_at),
        "to": _utc(fold.to_at),
        "from_at": fold.from_at,
        "to_at": fold.to_at,
        "clock_went_back_secs": round(fold.clock_went_back_secs, 3),
        "uptime_secs": round(fold.uptime_secs, 3),
        "runs_started": fold.kinds["open"],
        "hashes": _hashes(fold),
        "shares": _shares(fold),
        "evidence": _evidence(fold),
        "miners": miners(fold),
        "pools": fold.pools.summary(),
        "best": _best(fold, part, previous),
        "search": fold.searched.summary(),
        "work": {kind: fold.kinds[kind] for kind in ("tip", "template", "template_failed", "job", "node_switch")},
        "stale_secs": round(fold.durations["tip_to_stop"].total_secs, 3) if "tip_to_stop" in fold.durations else 0.0,
        "latency": {what: spread.summary() for what, spread in sorted(fold.durations.items())},
        "blocks": _blocks(fold),
        "errors": {severity: fold.errors.by_severity[severity] for severity in SEVERITIES}
        | {"distinct": fold.errors.distinct},
        "system": {name: spread.summary() for name, spread in sorted(fold.system.items())},
        "nodes": list(fold.nodes.values()),
        "fees_sats": fold.fees.summary(),
        "network_difficulty": None if not fold.target else difficulty(fold.target),
        "chance": _chance(expected_blocks, previous),
        "totals": _totals(fold, expected_blocks, previous),
        "ledger": {
            "first_seq": fold.first_seq,
            "last_seq": fold.last_seq,
            "lines": fold.lines,
            "unparsed_lines": fold.unparsed,
            "torn_bytes": fold.torn,
            "lost_entries": fold.lost,
        },
        "retired": retired,
    }


def _hashes(fold: HourFold) -> dict[str, Any]:
    counts = fold.counts
    workers = sorted(counts.workers.items(), key=lambda item: -item[1].counted - item[1].credited)
    rate = from_counters(counts.samples) if counts.samples else None
    return {
        "counted": counts.counted,
        "credited": counts.credited,
        "rate_hps": None if rate is None else interval(rate),
        "engines": _engines(counts.workers),
        "workers": [_worker(fold, label, tally) for label, tally in workers[:LISTED_WORKERS]],
        "workers_seen": len(workers),
    }


def _engines(workers: Mapping[str, WorkerTally]) -> dict[str, dict[str, float]]:
    """The sums of each engine, by the first half of its workers' names."""
    engines: dict[str, dict[str, float]] = {}
    for label, tally in sorted(workers.items()):
        sums = engines.setdefault(label.partition("/")[0], {"counted": 0, "credited": 0.0, "shares": 0, "workers": 0})
        sums["counted"] += tally.counted
        sums["credited"] += tally.credited
        sums["shares"] += tally.shares
        sums["workers"] += 1
    return engines


def _worker(fold: HourFold, label: str, tally: WorkerTally) -> dict[str, Any]:
    secs = sum(secs for _, secs in fold.counts.samples)
    claim = None
    if tally.expected_shares > 0 and not tally.credited and _is_complete(fold):
        claim = check_claim(tally.counted, tally.shares, tally.counted / tally.expected_shares)
    return {
        "worker": label,
        "counted": tally.counted,
        "credited": tally.credited,
        "rate_hps": round((tally.counted + tally.credited) / secs, 3) if secs else None,
        "shares": tally.shares,
        "expected_shares": round(tally.expected_shares, 3),
        "mismatch": None if claim is None else mismatch(claim),
    }


def _of_counting(fold: HourFold) -> int:
    """Shares of the workers that count their hashes; others have no count to compare with."""
    return sum(tally.shares for tally in fold.counts.workers.values() if not tally.credited)


def _shares(fold: HourFold) -> dict[str, Any]:
    expected, counting = fold.counts.expected_shares, _of_counting(fold)
    result = luck(counting, expected)
    return {
        "found": fold.shares,
        "credited": fold.shares - counting,
        "expected": round(expected, 3),
        "complete": _is_complete(fold),
        "stale": fold.stale_shares,
        "dropped": fold.dropped_shares,
        "duplicate": fold.kinds["share_duplicate"],
        "missed_target": fold.kinds["share_misses_target"],
        "chance_of_so_many_or_more": result.as_lucky,
        "chance_of_so_few_or_fewer": result.as_unlucky,
        "share_difficulty": None if not fold.share_target else difficulty(fold.share_target),
    }


def _is_complete(fold: HourFold) -> bool:
    """Whether every hash that meets the share target was reported, so that shares are evidence of hashes."""
    return bool(fold.share_target is not None and expected_hashes(fold.share_target) >= MIN_HASHES_PER_SHARE)


def _evidence(fold: HourFold) -> dict[str, Any]:
    """Hashes estimated from shares and from the k-th best hash, compared with the workers' counters."""
    counts, counted = fold.counts, fold.counts.counted
    found: dict[str, Any] = {"counted_hashes": counted, "credited_hashes": counts.credited, "from_shares": None}
    found |= {"k": fold.best.k, "kth_hash": None, "from_kth_hash": None, "mismatch": None}
    if fold.share_target is None or not _is_complete(fold):
        return found
    mean = counted / counts.expected_shares if counts.expected_shares else float(expected_hashes(fold.share_target))
    by_shares = from_share_sums(counts.share_hashes, counts.share_squares) if fold.shares else from_shares(0, mean)
    found["from_shares"] = interval(by_shares)
    kth = kth_hash(fold)
    if kth is not None:
        found |= {"kth_hash": f"{kth:064x}", "from_kth_hash": interval(from_order_statistic(kth, fold.best.k))}
    if counted:  # the k-th hash is over all engines, so it is no evidence of the count if there are credited hashes
        claim = check_claim(counted, _of_counting(fold), mean, None if counts.credited else kth, fold.best.k)
        found["mismatch"] = mismatch(claim)
    return found


def miners(fold: HourFold) -> dict[str, Any] | None:
    """The miners' section; None in an hour without miners."""
    is_evidence = _is_complete(fold) and not fold.dropped_shares and not fold.lost
    share_hashes = float(expected_hashes(fold.share_target)) if is_evidence and fold.share_target else 0.0
    return fold.miners.summary(fold.uptime_secs, share_hashes, fold.kinds["stratum_ended"])


def kth_hash(fold: HourFold) -> int | None:
    """The k-th smallest of all hashes; None if it is above the hour's tightest share target.

    Above that target not all hashes were reported.
    """
    kth, tightest = fold.best.kth(), fold.tightest_share_target
    return kth if kth is not None and tightest is not None and kth <= tightest else None


def _best(fold: HourFold, part: Part, previous: Previous | None) -> dict[str, Any]:
    hour = None
    if fold.best.kept:
        kept = fold.best.kept[0]
        hour = {
            "difficulty": difficulty(max(kept.value, 1)),
            "hash": f"{kept.value:064x}",
            "height": kept.job["height"],
            "at": kept.share["at"],
            "worker": kept.share["worker"],
            "part": part.path,
        }
    before = previous["best"] if previous is not None else {"day": None, "all_time": None}
    day = before["day"]
    if day is not None and day["part"][:10] != part.path[:10]:
        day = None
    return {"hour": hour, "day": _better(hour, day), "all_time": _better(hour, before["all_time"])}


def _better(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    if one is None or other is None:
        return other if one is None else one
    return one if one["hash"] <= other["hash"] else other


def _blocks(fold: HourFold) -> dict[str, Any]:
    listed = list(fold.blocks.values())[-LISTED_BLOCKS:]
    ours = Counter(block["state"] for block in fold.blocks.values() if block["found_here"])
    return {
        "found": fold.blocks_found,
        "answers": fold.kinds["block_answer"],
        "states": dict(sorted(ours.items())),
        "listed": [{key: value for key, value in block.items() if value is not None} for block in listed],
    }


def _chance(here: float, previous: Previous | None) -> dict[str, Any]:
    total = here + (previous["totals"]["expected_blocks"] if previous is not None else 0.0)
    return {
        "expected_blocks": here,
        "of_a_block_in_this_part": -math.expm1(-here),
        "of_a_block_since_start": -math.expm1(-total),
    }


def _totals(fold: HourFold, expected_blocks: float, previous: Previous | None) -> dict[str, Any]:
    """Sums over all reports of the chain."""
    before: Mapping[str, Any] = previous["totals"] if previous is not None else {}
    return {
        "since": before.get("since") or _utc(fold.from_at),
        "reports": before.get("reports", 0) + 1,
        "uptime_secs": round(before.get("uptime_secs", 0.0) + fold.uptime_secs, 3),
        "hashes": before.get("hashes", 0) + fold.counts.counted,
        "credited_hashes": before.get("credited_hashes", 0.0) + fold.counts.credited,
        "shares": before.get("shares", 0) + fold.shares,
        "expected_blocks": before.get("expected_blocks", 0.0) + expected_blocks,
        "blocks_found": before.get("blocks_found", 0) + fold.blocks_found,
    }


def _utc(at: float | None) -> str | None:
    return None if at is None else utc_text(at)
