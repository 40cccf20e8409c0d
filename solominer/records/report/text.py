"""Hourly reports as plain text, one screen each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from solominer.records.report.searched import search_lines

_PREFIXES = ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))

Report = Mapping[str, Any]


def short(value: float) -> str:
    """Up to four significant digits with an SI prefix: `1.234 G`."""
    for factor, prefix in _PREFIXES:
        if abs(value) >= 0.99995 * factor:  # rounds up to `factor`
            return f"{value / factor:.4g} {prefix}"
    return f"{value:.4g} "


def odds(chance: float) -> str:
    """A probability: below 10 % as `1 in N`, else in percent."""
    if chance <= 0:
        return "none"
    if chance < 0.1:
        return f"1 in {short(1 / chance).strip()}"
    return f"{chance:.1%}"


def duration(secs: float) -> str:
    """0.8 ms, 12.3 s, 5 min 20 s, 3 h 12 min, 12 d 4 h."""
    if secs < 1:
        return f"{secs * 1000:.3g} ms"
    if secs < 100:
        return f"{secs:.3g} s"
    minutes, seconds = divmod(round(secs), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def hashes_text(counted: float, credited: float) -> str:
    """Counted and credited hashes, without the part that is zero."""
    parts = [f"{short(counted)}H counted"] if counted or not credited else []
    return ", ".join([*parts, f"{short(credited)}H credited"] if credited else parts)


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
    yield line if rate is None else f"{line}, {_interval(rate, 'H/s')}"
    for name, sums in hashes["engines"].items() if len(hashes["engines"]) > 1 else ():
        own = f"{sums['shares']} shares from {sums['workers']} workers"
        yield f"  {name:<9}{hashes_text(sums['counted'], sums['credited'])}, {own}"
    for worker in hashes["workers"] if len(hashes["workers"]) > 1 else ():
        flag = worker["mismatch"]
        wrong = f"  MISMATCH: {'; '.join(flag['reasons'])}" if flag and flag["flagged"] else ""
        own = "" if worker["rate_hps"] is None else f", {short(worker['rate_hps'])}H/s"
        done = hashes_text(worker["counted"], worker["credited"])
        yield f"  {worker['worker']:<9}{done}{own}, {worker['shares']} shares{wrong}"
    if not shares["complete"]:
        yield f"shares     {shares['found']} found; share target too low; not used as evidence"
        return
    credited = f"{shares['credited']} more from workers with credited hashes, " if shares["credited"] else ""
    yield (
        f"shares     {shares['found'] - shares['credited']} found, {shares['expected']:.1f} expected"
        f" (chance of so few {shares['chance_of_so_few_or_fewer']:.0%},"
        f" of so many {shares['chance_of_so_many_or_more']:.0%}), {credited}{shares['stale']} stale"
    )
    for name, source in (("from_shares", "the shares"), ("from_kth_hash", f"best hash no. {evidence['k']}")):
        if evidence[name] is not None:
            yield f"evidence   {_interval(evidence[name], 'H')} estimated from {source}"
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
        peers = "" if node["peers"] is None else f" {node['peers']} peers,"
        yield (
            f"node       {node['node']}: {state}, height {node['height']},{peers} ZMQ {node['zmq']},"
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


def _interval(value: Mapping[str, Any], unit: str) -> str:
    high = "no upper bound" if value["high"] is None else f"{short(value['high'])}{unit}"
    return f"{short(value['value'])}{unit} ({value['level']:.0%}: {short(value['low'])}{unit} to {high})"
