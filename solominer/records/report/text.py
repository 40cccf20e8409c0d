"""Hourly reports as plain text, one screen each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from solominer.records.report.formats import duration, hashes_text, interval_text, many, odds, short
from solominer.records.report.miners_view import miner_lines
from solominer.records.report.pools import pool_lines
from solominer.records.report.searched import search_lines
from solominer.work.events import template_way

Report = Mapping[str, Any]


def report_text(report: Report) -> str:
    """The report of one part as text."""
    return "\n".join(_lines(report)) + "\n\n"


def _lines(report: Report) -> Iterator[str]:
    ended = {"hour": "", "shutdown": ", ended by shutdown", "clock": ", ended by a clock step"}
    why = ended.get(report["why"], ", recovered after a crash")
    name = report["tree"] if report["tree"] == report["network"] else f"{report['tree']} (on {report['network']})"
    yield f"=== {name} {report['part']} UTC · report {report['sequence']}{why} " + "=" * 20
    yield f"{report['from']} to {report['to']}, up {duration(report['uptime_secs'])}"
    if report["clock_went_back_secs"] > 1:
        yield f"clock      was set back by {duration(report['clock_went_back_secs'])}"
    yield from _hash_lines(report)
    if report["shares"]["dropped"]:
        yield f"           {report['shares']['dropped']} shares dropped: they arrived faster than they could be checked"
    yield from search_lines(report["search"])
    yield from miner_lines(report.get("miners"))
    yield from pool_lines(report.get("pools"))
    yield from _best_lines(report)
    yield from _node_lines(report)
    yield from _block_lines(report)
    yield _error_line(report)
    yield from _system_lines(report)
    yield _chance_line(report)


def _hash_lines(report: Report) -> Iterator[str]:
    hashes, shares, evidence = report["hashes"], report["shares"], report["evidence"]
    rate = hashes["rate_hps"]
    line = f"hashes     {hashes_text(hashes['counted'], hashes['credited'])}"
    yield line if rate is None else f"{line}, {interval_text(rate, 'H/s')}"
    for name, sums in hashes["engines"].items() if len(hashes["engines"]) > 1 else ():
        own = f"{many(sums['shares'], 'share')} from {many(sums['workers'], 'worker')}"
        yield f"  {name:<8} {hashes_text(sums['counted'], sums['credited'])}, {own}"
    for worker in hashes["workers"] if len(hashes["workers"]) > 1 else ():
        flag = worker["mismatch"]
        wrong = f"  MISMATCH: {'; '.join(flag['reasons'])}" if flag and flag["flagged"] else ""
        own = "" if worker["rate_hps"] is None else f", {short(worker['rate_hps'])}H/s"
        done = hashes_text(worker["counted"], worker["credited"])
        yield f"  {worker['worker']:<8} {done}{own}, {many(worker['shares'], 'share')}{wrong}"
    if not shares["complete"]:
        yield f"shares     {shares['found']} found; share target too low; not used as evidence"
        return
    credited = f"{shares['credited']} more from workers with credited hashes, " if shares["credited"] else ""
    yield (
        f"shares     {shares['found'] - shares['credited']} found, {shares['expected']:.1f} expected"
        f" (chance of at most as many {shares['chance_of_so_few_or_fewer']:.0%},"
        f" of at least as many {shares['chance_of_so_many_or_more']:.0%}), {credited}{shares['stale']} stale"
    )
    for name, source in (("from_shares", "the shares"), ("from_kth_hash", f"best hash no. {evidence['k']}")):
        if evidence[name] is not None:
            yield f"evidence   {interval_text(evidence[name], 'H')} estimated from {source}"
    mismatch = evidence["mismatch"]
    if mismatch is not None:
        agrees = "consistent with the counters"
        yield f"           {'MISMATCH: ' + '; '.join(mismatch['reasons']) if mismatch['flagged'] else agrees}"


def _best_lines(report: Report) -> Iterator[str]:
    best = report["best"]
    if best["hour"] is None:
        yield "best       no share in this hour"
    else:
        each = (f"{name.replace('_', ' ')} {short(best[name]['difficulty']).strip()}" for name in best if best[name])
        yield f"best       difficulty: {', '.join(each)}"


def _node_lines(report: Report) -> Iterator[str]:
    work = report["work"]
    yield (
        f"work       {work['tip']} tips, {work['template']} templates, {work['job']} jobs,"
        f" {duration(report['stale_secs'])} on stale tips"
    )
    for what, spread in report["latency"].items():
        yield (
            f"  {what.replace('_', ' '):<18} p50 {duration(spread['p50_secs'])}, p99 {duration(spread['p99_secs'])},"
            f" max {duration(spread['max_secs'])} ({spread['count']})"
        )
    if report["fees_sats"] is not None:
        fees = report["fees_sats"]
        yield f"fees       {fees['last']:,.0f} sats at the end, {fees['max']:,.0f} at most"
    for node in report["nodes"]:
        state = node["problem"] or "healthy"
        source = template_way(node.get("ipc") or "off")
        peers = "" if node["peers"] is None else f" {node['peers']} peers,"
        yield (
            f"node       {node['node']}: {state}, height {node['height']},{peers} ZMQ {node['zmq']}{source},"
            f" unusable in {node['unusable_samples']} of {node['samples']} checks"
        )


def _block_lines(report: Report) -> Iterator[str]:
    blocks = report["blocks"]
    states = ", ".join(f"{count} {state}" for state, count in blocks["states"].items())
    yield f"blocks     {blocks['found']} found{': ' + states if states else ''}"
    for block in blocks["listed"][-5:]:
        yield f"  {block['height']} {block['hash']} {block['state']}"


def _error_line(report: Report) -> str:
    errors = report["errors"]
    counts = ", ".join(f"{count} {severity}" for severity, count in errors.items() if count and severity != "distinct")
    return f"errors     {counts or 'none'}"


def _system_lines(report: Report) -> Iterator[str]:
    system, parts = report["system"], []
    for name, label, unit in (("cpu_percent", "CPU", " %"), ("temperature_c", "temperature", " °C")):
        if system.get(name):
            parts.append(f"{label} {system[name]['mean']:.1f}{unit} (max {system[name]['max']:.1f})")
    if system.get("memory_bytes"):
        parts.append(f"memory {short(system['memory_bytes']['max'])}B at most")
    if parts:
        yield f"machine    {', '.join(parts)}"


def _chance_line(report: Report) -> str:
    chance, totals = report["chance"], report["totals"]
    if not totals["expected_blocks"]:
        return "chance     of a block: unknown yet"
    return (
        f"chance     of a block from this hour's work: {odds(chance['of_a_block_in_this_part'])}; from all work since"
        f" {totals['since']}: {odds(chance['of_a_block_since_start'])}, {totals['blocks_found']} found."
        " Past work does not raise the chance of the next hour."
    )
