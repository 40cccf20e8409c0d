"""The page in a real browser: what the daemon says is shown, whatever it is, as it changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs playwright")

from playwright.sync_api import Browser

from solominer.views.snapshot import PoolView
from tests.web import sample
from tests.web.fake_daemon import FakeDaemon
from tests.web.page_rig import Rig, daemon_and_server, page_of

WORKER = sample.snapshot(0).workers[2]
NODE = sample.snapshot(0).nodes[0]
COINBASE = sample.snapshot(0).coinbase
TEMPLATE = sample.snapshot(0).template
assert COINBASE is not None
assert TEMPLATE is not None

LIVE: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "rate": ({"rate_hps": 7.77e9, "rate_low_hps": 7.11e9, "rate_high_hps": 8.22e9}, [
        ("#working", "7.77 GH/s"), ("#working", "7.11–8.22 GH/s")]),
    "height": ({"template": replace(TEMPLATE, height=1_234_568), "height": 1_234_567}, [
        ("#working", "Mining on height 1,234,568"), ("#working", "height 1,234,567")]),
    "tip": ({"tip_at": time.time() - 3 * 86400 - 5 * 3600 - 60}, [("#working", "3 d 5 h")]),
    "no tip": ({"tip_at": 0.0}, [("#working", "no tip yet")]),
    "shares": ({"shares": 31_337}, [("#working", "31,337 shares in this run")]),
    "blocks": ({"accepted_blocks": 42, "network_difficulty": 8.88e9}, [
        ("#working", "42"), ("best", "4.2 % of a block's difficulty"), ("#working", "difficulty 8.88 G")]),
    "paused": ({"status": "paused: by hand, schedule", "pauses": ("by hand", "schedule")}, [
        ("#working", "Paused: by hand, schedule"), ("#working", "Resume"), ("#working", "Also paused: schedule")]),
    "waiting": ({"status": "waiting for a node"}, [("#working", "Waiting for a node")]),
    "block": ({"blocks": (replace(sample.snapshot(0).blocks[0], state="stale", confirmations=0),)}, [
        ("blocks", "stale")]),
    "new block": ({"blocks": (replace(sample.snapshot(0).blocks[0], height=924_300, hash_hex="ab" * 32),)}, [
        ("blocks", "924,300"), ("blocks", "abababab…abababab")]),
    "coinbase": ({"coinbase": replace(COINBASE, tag="/my tag/", outputs=(
        replace(COINBASE.outputs[0], sats=123_456_789, pays="bc1qother"),), witness_commitment_hex="cd" * 32)}, [
        ("coinbase", "/my tag/"), ("coinbase", "1.23456789 BTC"), ("coinbase", "bc1qother"), ("coinbase", "cdcdcd")]),
    "template": ({"template": replace(TEMPLATE, transactions=1717, fees_sats=1_717_171, weight=1_000_000, sigops=77,
        reward_sats=314_217_171, fee_histogram=((7.0, 9000), (77.0, 1000)))}, [
        ("template", "1,717"), ("template", "0.01717171 BTC"), ("template", "3.14217171 BTC"), ("template", "25.0 %"),
        ("template", "77 sigops"), ("template", "10.0 kvB of transactions; the largest bin starts at 7 sat/vB"),
        ("template", "the highest at 77 sat/vB")]),
    "provisional": ({"template": replace(TEMPLATE, provisional=True, transactions=0, fee_histogram=())}, [
        ("template", "empty block until the template is in"), ("template", "No data: the block has no transactions")]),
    "no job": ({"template": None, "coinbase": None, "status": "waiting for a template"}, [
        ("coinbase", "No data: no job: waiting for a template"), ("template", "No data: no job")]),
    "node": ({"nodes": (replace(NODE, name="shed", height=800_001, peers=99, zmq="off", rpc_secs=0.75,
        fork="a branch from 799,999", note="slow"),)}, [
        ("nodes", "shed"), ("nodes", "800,001"), ("nodes", "99"), ("nodes", "off"), ("nodes", "750 ms"),
        ("nodes", "shed: slow"), ("nodes", "shed: on another chain: a branch from 799,999")]),
    "pool": ({"mode": "pool", "nodes": (), "template": None, "pools": (
        PoolView("stratum+tcp://pool.example:3333", "bc1q.rig", True, "good", "", 71, 3, 2, 0, 512.0, 0.044, "hello"),
        PoolView("stratum+ssl://b.example:1", "me", False, "bad", "no job for 90 s", 0, 0, 0, 0, 0.0, 0.0))}, [
        ("pools", "stratum+tcp://pool.example:3333"), ("pools", "bc1q.rig"), ("pools", "71"), ("pools", "44"),
        ("pools", "pool.example:3333: says: hello"), ("pools", "b.example:1: no job for 90 s"),
        ("template", "No data: a pool does not tell what is in its blocks"),
        ("#working", "Blocks found for the pool")]),
    "miner": ({"workers": (replace(WORKER, worker="stratum/barn", rate_hps=3.33e12, shares=4444, rejected=55,
        difficulty=6.66e5, best_difficulty=7.77e9, connections=8, kernel="cgminer/9"),)}, [
        ("workers", "barn"), ("workers", "3.33 TH/s"), ("workers", "4,444"), ("workers", "55"), ("workers", "666 k"),
        ("workers", "7.77 G"), ("workers", "hashing"), ("workers", "cgminer/9")]),
    "idle miner": ({"workers": (replace(WORKER, rate_hps=0.0),)}, [
        ("workers", "idle"), ("workers", "0 H/s, 1 worker, 1 not hashing")]),
    "lost miner": ({"workers": (replace(WORKER, alive=False),)}, [
        ("workers", "lost"), ("workers", "1.18 TH/s, 1 worker, 1 not hashing")]),
    "no workers": ({"workers": ()}, [("workers", "No data: no worker is running")]),
    "event": ({"events": ((1795945204.0, "something <b>else</b> happened"),)}, [
        ("events", "10:40:04"), ("events", "something <b>else</b> happened")]),
    "no stratum": ({"stratum_urls": ()}, [("stratum", "No data: the Stratum server is off")]),
    "stratum": ({"stratum_urls": ("stratum+tcp://10.9.8.7:6543",)}, [("stratum", "stratum+tcp://10.9.8.7:6543")]),
    "test chain": ({"simulated": False, "network": "signet"}, [("#app", "signet. Coins of this chain have no value")]),
    "footer": ({"data_dir": "/elsewhere"}, [("#app", "records in /elsewhere")]),
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeDaemon, str]]:
    with daemon_and_server(tmp_path_factory.mktemp("web")) as served:
        yield served


@pytest.fixture(scope="module")
def open_page(browser: Browser, served: tuple[FakeDaemon, str]) -> Iterator[Rig]:
    """One page for all changes, to which nothing but the stream brings them."""
    with page_of(browser, *served) as rig:
        rig.open()
        yield rig


@pytest.mark.parametrize("name", LIVE)
def test_what_the_daemon_says_is_shown(open_page: Rig, name: str) -> None:
    changes, shown = LIVE[name]
    open_page.tell()
    open_page.shows("#working", "5.42 TH/s")
    open_page.lacks(*shown[-1])
    open_page.tell(**changes)
    for widget, text in shown:
        open_page.shows(widget, text)
