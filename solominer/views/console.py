"""The live view on a terminal, with rich: redrawn twice a second, everything on one screen."""

from __future__ import annotations

import os

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from solominer.errors import printable, shortened
from solominer.views.snapshot import GroupView, Snapshot
from solominer.views.text import (
    MOST_MEMBERS,
    MOST_OF_A_NAME,
    MOST_SHOWN,
    busiest,
    carried,
    coins,
    difficulty_text,
    duration,
    rate,
    scaled,
    utc,
    why_off,
)

_STATE_STYLE = {
    "accepted": "green",
    "confirmed": "green",
    "mature": "bold green",
    "rejected": "bold red",
    "stale": "yellow",
}


def has_controlling_terminal() -> bool:
    """Whether this process has a controlling terminal, which sends SIGHUP when closed (tty(4)); a service has none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class ConsoleView:
    """Shows snapshots until closed; a context manager. `console` is for tests."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or Console(), auto_refresh=False, transient=False, redirect_stderr=False)

    def __enter__(self) -> ConsoleView:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Draw this snapshot."""
        self._live.update(render(snapshot), refresh=True)


def render(snapshot: Snapshot) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [_head(snapshot)]
    if any(not worker.is_miner for worker in snapshot.workers):
        parts.append(_workers(snapshot))
    if any(worker.is_miner for worker in snapshot.workers):
        parts.append(_miners(snapshot))
    if snapshot.group is not None and snapshot.group.members:
        parts.append(_group(snapshot.group))
    if snapshot.pools:
        parts.append(_pools(snapshot))
    if not snapshot.at_a_pool:
        parts.append(_nodes(snapshot))
    if snapshot.blocks:
        parts.append(_blocks(snapshot))
    if snapshot.events:
        parts.append(_events(snapshot))
    title = f"solominer · {snapshot.mode} · {snapshot.network}"
    if snapshot.simulated:
        title += " · SIMULATION, nothing is submitted"
    return Panel(Group(*parts), title=title, border_style="yellow" if snapshot.simulated else "blue")


def _head(s: Snapshot) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    grid.add_column(style="dim")
    grid.add_column()
    half = (s.rate_high_hps - s.rate_low_hps) / 2
    spread = f" ± {100 * half / s.rate_hps:.1f} %" if s.rate_hps and half == half and half < s.rate_hps else ""
    grid.add_row("status", _status(s), "up", duration(s.at - s.started_at))
    tip_age = duration(s.at - s.tip_at) if s.tip_at else "-"
    grid.add_row("height", f"{s.height + 1 if s.height else '-'}", "tip age", f"{tip_age}  {s.tip_hex[-16:]}")
    if not s.pools:
        grid.add_row("template", f"{s.transactions} transactions", "fees", coins(s.fees_sats))
    grid.add_row("rate", f"{rate(s.rate_hps)}{spread}", "hashes", scaled(s.hashes, "H"))
    difficulty = f"{difficulty_text(s.share_difficulty)} of {difficulty_text(s.network_difficulty)}"
    grid.add_row("shares", f"{s.shares}", "difficulty", difficulty)
    if s.stratum_urls:
        grid.add_row("miners", Text("  ".join(s.stratum_urls)))
    if s.at_a_pool:
        grid.add_row("blocks", f"{s.accepted_blocks} of the pool")
    else:
        grid.add_row("blocks", f"{s.accepted_blocks} accepted", "pays to", s.payout)
    return grid


def _status(s: Snapshot) -> Text:
    style = "green" if s.status == "mining" else "yellow"
    return Text(s.status, style=style)


def _table(*headers: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for header in headers:
        table.add_column(header)
    return table


def _workers(s: Snapshot) -> RenderableType:
    table = _table("worker", "process", "kernel", "rate", "shares")
    for worker in s.workers:
        if not worker.is_miner:
            off = Text(why_off(worker.state, worker.gone_at), style="yellow")
            state = rate(worker.rate_hps) if worker.alive else off
            name = Text(printable(worker.worker))
            table.add_row(name, str(worker.pid or "-"), Text(printable(worker.kernel)), state, str(worker.shares))
    return table


def _miners(s: Snapshot) -> RenderableType:
    miners = [worker for worker in s.workers if worker.is_miner]
    table = _table("miner", "client", "rate", "difficulty", "shares", "rejected", "best")
    for miner in busiest(miners, key=lambda miner: (miner.alive, miner.rate_hps)):
        known = not miner.is_at_a_node
        table.add_row(
            Text(printable(shortened(miner.worker.partition("/")[2], MOST_OF_A_NAME))),
            Text(printable(shortened(miner.kernel, MOST_OF_A_NAME))),
            rate(miner.rate_hps) if miner.alive else Text("not connected", style="yellow"),
            difficulty_text(miner.difficulty) if known else "-",
            str(miner.shares),
            str(miner.rejected) if known else "-",
            difficulty_text(miner.best_difficulty) if known else "-",
        )
    if len(miners) > MOST_SHOWN:
        table.add_row(f"and {len(miners) - MOST_SHOWN} more", *[""] * 6)
    return table


def _group(group: GroupView) -> RenderableType:
    table = _table("member of the group", "work", "paid now", "carried over")
    for member in group.members[:MOST_MEMBERS]:
        share = f"{100 * member.work_share:.2f} %"
        table.add_row(member.address, share, coins(member.paid_sats), carried(member.carried_sats))
    if len(group.members) > MOST_MEMBERS:
        table.add_row(f"and {len(group.members) - MOST_MEMBERS} more", "", "", "")
    return table


def _nodes(s: Snapshot) -> RenderableType:
    table = _table("node", "height", "peers", "zmq", "latency", "state")
    for node in s.nodes:
        state = Text(printable(node.note), "red")
        if node.usable:
            state = Text("in use" if node.active else "ready", style="green")
        if node.fork:
            state.append(f", on {node.fork}", "bold red")
        peers = "-" if node.peers is None else str(node.peers)
        table.add_row(
            Text(printable(node.name)), str(node.height), peers, node.zmq, f"{1000 * node.rpc_secs:.1f} ms", state
        )
    return table


def _pools(s: Snapshot) -> RenderableType:
    table = _table("pool", "user", "difficulty", "accepted", "rejected", "stale", "latency", "state")
    for pool in s.pools:
        state = Text("in use", "green") if pool.active else Text(printable(pool.note or pool.state), "yellow")
        table.add_row(
            Text(pool.url),
            Text(printable(shortened(pool.user, MOST_OF_A_NAME))),
            difficulty_text(pool.difficulty),
            str(pool.accepted),
            str(pool.rejected),
            str(pool.stale),
            f"{1000 * pool.latency_secs:.0f} ms",
            state,
        )
    return table


def _blocks(s: Snapshot) -> RenderableType:
    table = _table("block", "hash", "state", "confirmations", "reward")
    for block in s.blocks[-8:]:
        state = Text(block.state, style=_STATE_STYLE.get(block.state, ""))
        table.add_row(str(block.height), block.hash_hex, state, str(block.confirmations), coins(block.reward_sats))
    return table


def _events(s: Snapshot) -> RenderableType:
    lines = Text(style="dim")
    for at, text in s.events[-6:]:
        lines.append(f"{utc(at)}  {text}\n")
    return lines
