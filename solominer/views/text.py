"""Human-readable numbers, and `solominer status` as text: the live view's content in plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from solominer.records.report.formats import many
from solominer.views.snapshot import is_at_a_node
from solominer.work.events import template_way
from solominer.work.payout import percent

MOST_SHOWN = 24
"""Workers listed individually."""
MOST_OF_A_NAME = 40
"""Characters of a miner's name on the live view."""
MOST_MEMBERS = 10
"""Members of a group listed individually."""

_PAYS = {
    "config": "pays as configured",
    "miner": "pays the address that its finder logged in with",
    "group": "pays the group",
}

T = TypeVar("T")
_STEPS = ("", "k", "M", "G", "T", "P", "E")


def scaled(value: float, unit: str, digits: int = 2) -> str:
    """`value` with a decimal prefix: 38.21 MH/s."""
    step = 0
    while abs(value) >= 1000 and step < len(_STEPS) - 1:
        value /= 1000
        step += 1
    return f"{value:.{digits}f} {_STEPS[step]}{unit}"


def rate(hps: float) -> str:
    """A hash rate."""
    return scaled(hps, "H/s")


def coins(sats: int) -> str:
    """Satoshis as whole coins, exact."""
    return f"{sats // 100_000_000}.{sats % 100_000_000:08d} BTC"


def carried(sats: int) -> str:
    """What a member of the group is owed from earlier blocks; below zero he was paid so much for others."""
    return f"-{coins(-sats)}" if sats < 0 else coins(sats)


def duration(secs: float) -> str:
    """Seconds as the two largest of days, hours, minutes and seconds."""
    total = max(int(secs), 0)
    parts = (("d", total // 86400), ("h", total // 3600 % 24), ("m", total // 60 % 60), ("s", total % 60))
    first = next((i for i, (_, n) in enumerate(parts) if n), 3)
    return " ".join(f"{n}{unit}" for unit, n in parts[first : first + 2])


def difficulty_text(value: float) -> str:
    """A difficulty: three digits, or a decimal prefix."""
    return f"{value:.3g}" if value < 1000 else scaled(value, "", 3).strip()


def utc(at: float) -> str:
    """Unix seconds as time of day, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def busiest(workers: Sequence[T], key: Callable[[T], Any]) -> list[T]:
    """The workers to list individually, in their original order: all of them, or the fastest MOST_SHOWN."""
    if len(workers) <= MOST_SHOWN:
        return list(workers)
    least = sorted(map(key, workers), reverse=True)[MOST_SHOWN - 1]
    return [worker for worker in workers if key(worker) >= least][:MOST_SHOWN]


def why_off(state: str, gone_at: float | None) -> str:
    """What to say of a worker that is not alive; our own processes are started again."""
    return "restarting" if gone_at is None else f"{state} since {utc(gone_at)}"


def _worker_text(worker: Mapping[str, Any]) -> str:
    gone_at = worker.get("gone_at")
    if is_at_a_node(worker["worker"]) and gone_at is None:
        state = rate(worker["rate_hps"]) if worker["alive"] else "not connected"
        return f"{state}, {many(worker['shares'], 'share')}; {worker['kernel'] or 'no user agent'}"
    if not worker["worker"].startswith("stratum/"):
        state = rate(worker["rate_hps"]) if worker["alive"] else why_off(worker["state"], gone_at)
        heat = "" if worker.get("temperature_c") is None else f", {worker['temperature_c']:.0f} °C"
        return f"{state}, {worker['kernel']}{heat}"
    state = rate(worker["rate_hps"]) if worker["alive"] else "not connected"
    shares = f"{many(worker['shares'], 'share')} at difficulty {difficulty_text(worker['difficulty'])}"
    best = f"best {difficulty_text(worker['best_difficulty'])}"
    return f"{state}, {shares}, {worker['rejected']} rejected, {best}; {worker['kernel'] or 'no user agent'}"


def _pool_text(pool: Mapping[str, Any]) -> str:
    state = "in use" if pool["active"] else pool["note"] or pool["state"]
    shares = f"{pool['accepted']} accepted, {pool['rejected']} rejected, {pool['stale']} stale"
    unanswered = f", {pool['unanswered']} unanswered" if pool["unanswered"] else ""
    difficulty, latency = difficulty_text(pool["difficulty"]), f"{1000 * pool['latency_secs']:.0f} ms"
    return (
        f"  pool {pool['url']} as {pool['user']}: {state}; shares: {shares}{unanswered}, difficulty {difficulty}, "
        f"latency {latency}"
    )


def _payout_lines(status: Mapping[str, Any]) -> Iterator[str]:
    """Who is paid what by the block that is mined now."""
    if len(status["payouts"]) > 1:
        for payee in status["payouts"]:
            yield f"  pays {payee['address']}: {percent(payee['basis_points'])}, {coins(payee['sats'])} now"
    for listener in status["listeners"]:
        yield f"  a block found at {listener['url']} {_PAYS[listener['payout']]}"
    group = status["group"]
    if group is None:
        return
    window = f"window of {group['window_blocks']:g} blocks, {100 * group['window_filled']:.1f} % full"
    count = len(group["members"])
    if any(member["work_share"] for member in group["members"]):
        noun = "member" if count == 1 else "members"
        yield f"  group: {count} {noun}, {window}; paid now, in a coinbase of up to {group['coinbase_bytes']} bytes:"
    else:
        yield f"  group: nobody has proven work yet, so its blocks pay as configured; {window}"
    for member in group["members"][:MOST_MEMBERS]:
        owed = f", {carried(member['carried_sats'])} carried over" if member["carried_sats"] else ""
        share = f"{100 * member['work_share']:.2f} % of the work"
        yield f"    {member['address']}: {coins(member['paid_sats'])}, {share}{owed}"
    if count > MOST_MEMBERS:
        rest = group["members"][MOST_MEMBERS:]
        paid = coins(sum(member["paid_sats"] for member in rest))
        yield f"    and {count - MOST_MEMBERS} more members: {paid}"


def status_lines(status: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a status snapshot from the control socket."""
    simulated = "  SIMULATION, nothing is submitted" if status["simulated"] else ""
    yield f"{status['mode']} on {status['network']}: {status['status']}{simulated}"
    tip_age = duration(status["at"] - status["tip_at"]) if status["tip_at"] else "-"
    yield f"  up {duration(status['at'] - status['started_at'])}, at height {status['height'] + 1}, tip {tip_age} old"
    low, high = status["rate_low_hps"], status["rate_high_hps"]
    spread = "" if low is None or high is None else f" ({rate(low)} to {rate(high)})"
    done = f"{scaled(status['hashes'], 'H')} done, {many(status['shares'], 'share')}"
    yield f"  {rate(status['rate_hps'])}{spread}, {done}"
    yield from map(_pool_text, status["pools"])
    if status["mode"] == "pool":
        yield f"  {many(status['accepted_blocks'], 'block')} found for the pool"
    elif status["pools"]:
        yield f"  {many(status['accepted_blocks'], 'block')} accepted before; those found now are the pool's"
    else:
        yield f"  template: {many(status['transactions'], 'transaction')} paying {coins(status['fees_sats'])}"
        yield f"  {many(status['accepted_blocks'], 'block')} accepted; the reward goes to {status['payout'] or '-'}"
    yield from _payout_lines(status)
    if status["stratum_urls"]:
        yield f"  miners connect to {' or '.join(status['stratum_urls'])}"
    workers = busiest(status["workers"], key=lambda worker: (worker["alive"], worker["rate_hps"]))
    for worker in workers:
        yield f"  worker {worker['worker']}: {_worker_text(worker)}"
    if len(workers) < len(status["workers"]):
        yield f"  and {many(len(status['workers']) - len(workers), 'more worker')}"
    for node in status["nodes"]:
        state = ("in use" if node["active"] else "ready") if node["usable"] else node["note"]
        fork = f", ON {node['fork']}" if node["fork"] else ""
        source = template_way(node.get("ipc", "off"))
        yield f"  node {node['name']}: {state}, height {node['height']}, ZMQ {node['zmq']}{source}{fork}"
    for block in status["blocks"]:
        depth = many(block["confirmations"], "confirmation")
        yield f"  block {block['height']} {block['hash_hex']}: {block['state']}, {depth}"
    for at, text in status["events"][-5:]:
        yield f"  {utc(at)}  {text}"
