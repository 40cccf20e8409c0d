"""What people see: the live view says what matters and what is simulated; log lines; numbers as text."""

from __future__ import annotations

import io
import logging
import re
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from solominer.views.console import ConsoleView, render
from solominer.views.logs import RecentEvents, set_up_logging
from solominer.views.snapshot import (
    BlockView,
    GroupMemberView,
    GroupView,
    ListenerView,
    NodeView,
    PayoutView,
    PoolView,
    Snapshot,
    WorkerView,
)
from solominer.views.text import coins, duration, rate, status_lines, utc

SNAPSHOT = Snapshot(
    at=1_795_000_100.0,
    mode="regtest",
    network="regtest",
    simulated=False,
    status="mining",
    started_at=1_795_000_000.0,
    height=260,
    tip_hex="00" * 28 + "0badcafe",
    tip_at=1_795_000_090.0,
    transactions=27,
    fees_sats=886_340,
    template_at=1_795_000_090.0,
    network_difficulty=1.2e14,
    share_difficulty=0.04,
    rate_hps=62.5e6,
    rate_low_hps=62.0e6,
    rate_high_hps=63.0e6,
    hashes=6_250_000_000,
    shares=23,
    accepted_blocks=2,
    payout="bcrt1qexample",
    data_dir="/data",
    workers=(
        WorkerView("cpu/0", 4711, True, "avx512-3x2", 62.5e6, 6_250_000_000, 0.0, 23),
        WorkerView("cpu/1", 0, False, "", 0, 0, 0.0, 0),
        WorkerView("stratum/bc1qhome.shelf", 0, True, "bitaxe/BM1370", 1.1e12, 0, 4e15, 871, 1, 2048.0, 3.2e7, 4),
        WorkerView("stratum/attic", 0, False, "cpuminer/2.5.1", 0.0, 0, 0.0, 0),
    ),
    stratum_urls=("stratum+tcp://192.0.2.5:3333",),
    nodes=(
        NodeView("home", True, True, 260, 10, "live", 0.0012, ""),
        NodeView("spare", False, False, 0, None, "off", 0.0, "connection refused"),
        NodeView("lost", True, False, 250, 3, "off", 0.01, "", "on a different chain from home since height 249"),
    ),
    blocks=(BlockView(259, "ab" * 32, "accepted", 2, 2_500_000_000), BlockView(260, "cd" * 32, "stale", 0, 1)),
    events=((1_795_000_090.0, "mining job 7 at height 261"),),
)


def drawn(snapshot: Snapshot, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(render(snapshot))
    return console.export_text()


def test_the_live_view_says_what_matters() -> None:
    screen = drawn(SNAPSHOT)
    for text in (
        "261", "10s", "0badcafe", "27 transactions", "0.00886340 BTC", "62.50 MH/s ± 0.8 %", "23", "2 accepted",
        "bcrt1qexample", "avx512-3x2", "restarting", "in use", "connection refused", "live", "1.2 ms", "ab" * 32,
        "accepted", "stale", "25.00000000 BTC", "mining job 7", "120.000 T", "stratum+tcp://192.0.2.5:3333",
        "bc1qhome.shelf", "bitaxe/BM1370", "1.10 TH/s", "2.048 k", "871", "32.000 M", "not connected",
    ):  # fmt: skip
        assert text in screen, text
    assert "SIMULATION" not in screen


def test_a_split_is_shown_with_what_each_would_be_paid_now() -> None:
    payouts = (PayoutView("bcrt1qme", 9850, 307_812_500), PayoutView("bcrt1qfriend", 150, 4_687_500))
    lines = "\n".join(status_lines(asdict(replace(SNAPSHOT, payouts=payouts))))
    assert "  pays bcrt1qme: 98.5 %, 3.07812500 BTC now\n  pays bcrt1qfriend: 1.5 %, 0.04687500 BTC now\n" in lines
    assert "BTC now" not in "\n".join(status_lines(asdict(replace(SNAPSHOT, payouts=payouts[:1]))))


def group_of(count: int, shares: bool = True) -> GroupView:
    members = tuple(
        GroupMemberView(f"bcrt1q{n:03}", 1 / count if shares else 0.0, 1_000 * shares, 5 - n) for n in range(count)
    )
    return GroupView(members, 5.0, 0.423, 255)


def test_who_is_paid_by_blocks_of_miners_is_shown_for_each_listener() -> None:
    listeners = tuple(
        ListenerView(f"stratum+tcp://[::]:{n}", how) for n, how in ((1, "config"), (2, "miner"), (3, "group"))
    )
    lines = "\n".join(status_lines(asdict(replace(SNAPSHOT, listeners=listeners, group=group_of(2)))))
    assert "a block found at stratum+tcp://[::]:1 pays as configured" in lines
    assert "a block found at stratum+tcp://[::]:2 pays the address that its finder logged in with" in lines
    assert "a block found at stratum+tcp://[::]:3 pays the group" in lines
    assert "group: 2 members, window of 5 blocks, 42.3 % full; paid now, in a coinbase of up to 255 bytes:" in lines
    assert "bcrt1q000: 0.00001000 BTC, 50.00 % of the work, 0.00000005 BTC carried over" in lines


def test_many_members_are_counted_and_debts_have_a_sign() -> None:
    snapshot = replace(SNAPSHOT, group=group_of(13))
    lines = "\n".join(status_lines(asdict(snapshot)))
    assert "bcrt1q009: 0.00001000 BTC, 7.69 % of the work, -0.00000004 BTC carried over" in lines
    assert "bcrt1q005: 0.00001000 BTC, 7.69 % of the work\n" in lines
    assert "and 3 more members: 0.00003000 BTC" in lines
    screen = drawn(snapshot)
    assert "-0.00000004 BTC" in screen
    assert "and 3 more" in screen
    assert "bcrt1q010" not in screen + lines


def test_a_group_without_work_pays_as_configured() -> None:
    for group in (group_of(2, shares=False), GroupView((), 5.0, 0.0, 255)):
        lines = "\n".join(status_lines(asdict(replace(SNAPSHOT, group=group))))
        assert "group: nobody has proven work yet, so its blocks pay as configured; window of 5 blocks" in lines


def test_pools_are_shown_in_place_of_nodes_and_payee() -> None:
    pools = (
        PoolView("stratum+tcp://a.example:1", "me.rig", True, "good", "", 71, 3, 2, 1, 512.0, 0.044),
        PoolView("stratum+ssl://b.example:2", "me", False, "bad", "no job for 90 s", 0, 0, 0, 0, 0.0, 0.0),
    )
    snapshot = replace(SNAPSHOT, mode="pool", nodes=(), pools=pools, accepted_blocks=5)
    lines = "\n".join(status_lines(asdict(snapshot)))
    assert "5 blocks found for the pool" in lines
    assert "the reward goes to" not in lines
    shares = "shares: 71 accepted, 3 rejected, 2 stale, 1 unanswered, difficulty 512, latency 44 ms"
    assert f"pool stratum+tcp://a.example:1 as me.rig: in use; {shares}" in lines
    assert "pool stratum+ssl://b.example:2 as me: no job for 90 s; shares: 0 accepted" in lines
    screen = drawn(snapshot, 200)
    for text in ("stratum+tcp://a.example:1", "in use", "no job for 90 s", "44 ms", "5 of the pool"):
        assert text in screen
    assert "pays to" not in screen


def test_the_name_of_a_kernel_is_no_markup() -> None:
    """That of a cluster's worker comes from another machine."""
    foreign = WorkerView("cluster/n1.cpu0", 0, True, "[/] [red]x\x1b[2J", 1.0, 1, 0.0, 0)
    text = drawn(replace(SNAPSHOT, workers=(foreign,)))
    assert "[/] [red]x\\x1b[2J" in text


def test_of_a_miner_at_a_node_nothing_is_shown_that_is_not_known() -> None:
    there = WorkerView("cluster/site2.stratum/r1.s19", 0, True, "bmminer/2.0", 1.1e14, 0, 4e17, 872)
    gone = replace(there, worker="cluster/site2.stratum/r2.s19", alive=False, state="lost")
    ended = replace(gone, worker="cluster/site3.stratum/r3.s19", gone_at=1_800_000_000.0)
    snapshot = replace(SNAPSHOT, workers=(there, gone, ended))
    (row,) = (line for line in drawn(snapshot).splitlines() if "r1.s19" in line)
    assert row.split()[1:-1] == ["site2.stratum/r1.s19", "bmminer/2.0", "110.00", "TH/s", "-", "872", "-", "-"]
    lines = "\n".join(status_lines(asdict(snapshot)))
    assert "cluster/site2.stratum/r1.s19: 110.00 TH/s, 872 shares; bmminer/2.0" in lines
    assert "cluster/site2.stratum/r2.s19: not connected, 872 shares; bmminer/2.0" in lines
    assert "cluster/site3.stratum/r3.s19: lost since" in lines


def test_an_address_of_ipv6_is_no_markup() -> None:
    url = "stratum+tcp://[fd00::1]:3333"
    assert url in drawn(replace(SNAPSHOT, stratum_urls=(url,)))


def test_a_fallback_pool_is_shown_beside_the_nodes() -> None:
    pool = PoolView("stratum+tcp://a.example:1", "me.rig", True, "good", "", 71, 3, 2, 1, 512.0, 0.044)
    snapshot = replace(SNAPSHOT, status="mining at a fallback pool, as no node is healthy", pools=(pool,))
    lines = "\n".join(status_lines(asdict(snapshot)))
    for text in ("mining at a fallback pool", "a.example:1 as me.rig: in use", "those found now are the pool's"):
        assert text in lines
    assert "the reward goes to" not in lines
    screen = drawn(snapshot, 200)
    for text in ("mining at a fallback pool", "a.example:1", SNAPSHOT.nodes[0].name, "accepted"):
        assert text in screen


def test_a_simulation_says_so_on_screen() -> None:
    assert "SIMULATION, nothing is submitted" in drawn(replace(SNAPSHOT, simulated=True, mode="demo"))


def test_the_live_view_works_before_anything_is_known() -> None:
    empty = replace(
        SNAPSHOT, status="waiting for a node", height=0, tip_hex="", tip_at=0.0, transactions=0, rate_hps=0.0,
        rate_low_hps=0.0, rate_high_hps=float("inf"), workers=(), nodes=(), blocks=(), events=(),
    )  # fmt: skip
    assert "waiting for a node" in drawn(empty)
    assert "±" not in drawn(empty)


def test_the_live_view_draws_on_a_terminal() -> None:
    out = io.StringIO()
    with ConsoleView(Console(file=out, force_terminal=True, width=120)) as view:
        view.show(SNAPSHOT)
        view.show(replace(SNAPSHOT, status="paused: asked for"))
    assert "paused: asked for" in out.getvalue()


def test_log_lines_carry_time_and_level(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    recent = set_up_logging("info", live_view=False)
    logging.getLogger("solominer.test").info("height %d", 5)
    logging.getLogger("solominer.test").debug("not shown")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO     height 5\n", capsys.readouterr().err)
    assert [text for _, text in recent.lines] == ["height 5"]


def test_under_systemd_lines_carry_a_priority(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    set_up_logging("info", live_view=False)
    logging.getLogger("solominer.test").critical("block rejected")
    assert capsys.readouterr().err == "<2>CRITICAL block rejected\n"


def test_the_live_view_keeps_log_lines_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    recent = set_up_logging("info", live_view=True)
    logging.getLogger("solominer.test").warning("seen in the view")
    assert capsys.readouterr().err == ""
    assert len(recent.lines) == 1


def test_recent_events_are_bounded() -> None:
    recent = RecentEvents(size=3)
    for number in range(10):
        recent.emit(logging.makeLogRecord({"msg": str(number)}))
    assert [text for _, text in recent.lines] == ["7", "8", "9"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (rate(0), "0.00 H/s"),
        (rate(62_562_000), "62.56 MH/s"),
        (rate(9.5e20), "950.00 EH/s"),
        (coins(312_500_000), "3.12500000 BTC"),
        (coins(1), "0.00000001 BTC"),
        (duration(0.4), "0s"),
        (duration(61), "1m 1s"),
        (duration(3600), "1h 0m"),
        (duration(90_000), "1d 1h"),
        (utc(0), "00:00:00"),
    ],
)
def test_numbers_as_people_read_them(shown: str, expected: str) -> None:
    assert shown == expected
