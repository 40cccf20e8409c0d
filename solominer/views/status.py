"""`solominer status` as text: what the live view shows, in plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from solominer.views.text import coins, duration, rate, scaled, utc


def status_lines(status: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a snapshot as the control socket gives it."""
    simulated = "  SIMULATION, nothing is submitted" if status["simulated"] else ""
    yield f"{status['mode']} on {status['network']}: {status['status']}{simulated}"
    tip_age = duration(status["at"] - status["tip_at"]) if status["tip_at"] else "-"
    yield f"  up {duration(status['at'] - status['started_at'])}, at height {status['height'] + 1}, tip {tip_age} old"
    low, high = status["rate_low_hps"], status["rate_high_hps"]
    spread = "" if low is None or high is None else f" ({rate(low)} to {rate(high)})"
    yield f"  {rate(status['rate_hps'])}{spread}, {scaled(status['hashes'], 'H')} done, {status['shares']} shares"
    yield f"  template: {status['transactions']} transactions paying {coins(status['fees_sats'])}"
    yield f"  {status['accepted_blocks']} blocks accepted; the reward goes to {status['payout'] or '-'}"
    for worker in status["workers"]:
        state = rate(worker["rate_hps"]) if worker["alive"] else "restarting"
        yield f"  worker {worker['index']}: {state}, {worker['kernel']}"
    for node in status["nodes"]:
        state = ("in use" if node["active"] else "ready") if node["usable"] else node["note"]
        fork = f", ON {node['fork']}" if node["fork"] else ""
        yield f"  node {node['name']}: {state}, height {node['height']}, ZMQ {node['zmq']}{fork}"
    for block in status["blocks"]:
        yield f"  block {block['height']} {block['hash_hex']}: {block['state']}, {block['confirmations']} confirmations"
    for at, text in status["events"][-5:]:
        yield f"  {utc(at)}  {text}"
