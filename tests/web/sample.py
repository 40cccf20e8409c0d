"""A status as the daemon sends it, and answers of the API: simulated figures that tests and pictures vary."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace
from typing import Any

from solominer.views.snapshot import (
    BlockView,
    CoinbaseView,
    NodeView,
    OutputView,
    PayoutView,
    Snapshot,
    TemplateView,
    WorkerView,
)

PAYEE = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
DONATION = "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3"
COMMITMENT = "d4f1c9a07b3e8852f60c1d9e4ab7135c88f0e6a2b95d37c41e0fa8637db2c915"
HASH = "00000000000000000001a7c94f8ee04b3c5d1be27a90f6cd18e35b7042d6f9ac"
DIFFICULTY = 1.46e14
RATE_HPS = 5.42e12
HOUR_SECS = 3600


def snapshot(at: float, **changes: Any) -> Snapshot:
    """A miner at home: two CPU workers, three Stratum miners, two nodes; one block was found."""
    made = Snapshot(
        at=at,
        mode="mainnet",
        network="mainnet",
        simulated=True,
        status="mining",
        started_at=at - 3 * 86400 - 4000,
        height=924_310,
        tip_hex="00000000000000000000c1b5e2d8a94f7e60b13d5f82c09a47e6d1b38f5a2c70",
        tip_at=at - 192,
        transactions=3184,
        fees_sats=4_821_334,
        template_at=at - 12,
        network_difficulty=DIFFICULTY,
        share_difficulty=65536.0,
        rate_hps=RATE_HPS,
        rate_low_hps=5.17e12,
        rate_high_hps=5.68e12,
        hashes=1_404_000_000_000_000_000,
        shares=4987,
        accepted_blocks=1,
        payout=PAYEE,
        data_dir="/home/miner/.local/share/solominer",
        workers=(
            WorkerView("cpu/0", 4101, True, "sha-x86-4", 21.4e6, 5_600_000_000_000, 0.0, 1),
            WorkerView("cpu/1", 4102, True, "sha-x86-4", 0.0, 5_500_000_000_000, 0.0, 0),
            WorkerView("stratum/kitchen", 0, True, "bitaxe/BM1370", 1.18e12, 0, 3.1e17, 1102, 1, 4096.0, 2.1e9, 3),
            WorkerView("stratum/attic", 0, True, "NerdQAxe++/BM1370", 4.24e12, 0, 1.1e18, 3884, 1, 16384.0, 7.4e10),
            WorkerView("stratum/garage", 0, False, "cgminer/4.12.1", 0.0, 0, 2.0e16, 71, 0, 4096.0, 8.8e7, 1),
        ),
        nodes=(
            NodeView("home", True, True, 924_310, 23, "live", 0.0021, ""),
            NodeView("cellar", False, False, 924_101, 8, "silent", 0.145, "209 blocks behind the best node"),
        ),
        blocks=(BlockView(924_288, HASH, "confirmed", 23, 317_321_334),),
        events=tuple((at - 1200 + 90 * step, text) for step, text in enumerate(EVENTS)),
        stratum_urls=("stratum+tcp://192.168.1.20:3333",),
        payouts=(PayoutView(PAYEE, 9900, 314_147_121), PayoutView(DONATION, 100, 3_174_213)),
        template=TemplateView(
            height=924_311,
            provisional=False,
            transactions=3184,
            fees_sats=4_821_334,
            reward_sats=317_321_334,
            weight=3_991_204,
            weight_limit=4_000_000,
            sigops=9120,
            fee_histogram=(
                (1.0, 214_000),
                (2.0, 318_400),
                (3.0, 201_300),
                (5.0, 120_900),
                (8.0, 74_200),
                (12.0, 41_800),
                (20.0, 18_700),
                (50.0, 6_200),
                (120.0, 2_300),
            ),
        ),
        coinbase=CoinbaseView(
            outputs=(
                OutputView(314_147_121, "0014751e76e8199196d454941c45d1b3a323f1433bd6", PAYEE),
                OutputView(3_174_213, "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262", DONATION),
                OutputView(0, f"6a24aa21a9ed{COMMITMENT}", "witness commitment"),
            ),
            tag="/solominer/",
            witness_commitment_hex=COMMITMENT,
            prefix_hex=f"0200000001{'00' * 32}ffffffff1e0397 1a0e0c".replace(" ", ""),
            suffix_hex="0b2f736f6c6f6d696e65722ffeffffff0300",
            extranonce_bytes=12,
        ),
    )
    return replace(made, **changes)


EVENTS = (
    "node home has a new tip 00000000000000000000b7d2 (by zmq)",
    "mining job 5120 at height 924308 on 0b7d2a94c1e8, empty",
    "mining job 5121 at height 924308 on 0b7d2a94c1e8, 3,502 transactions",
    "miner garage disconnected",
    "node cellar is unusable: 209 blocks behind the best node",
    "best share of this run: difficulty 74.0 G by stratum/attic",
    "node home has a new tip 00000000000000000000c1b5 (by zmq)",
    "mining job 5140 at height 924311 on 8f5a2c70d1b3, 3,184 transactions",
)


def history(now: float, span_secs: float, step_secs: float, rate_hps: float = RATE_HPS) -> dict[str, Any]:
    """A hash rate that moves with the day, with an outage two thirds of the way."""
    chance = random.Random(7)
    points = []
    steps = round(span_secs / step_secs)
    for step in range(steps):
        at = now - (steps - step) * step_secs
        if 0.62 < step / steps < 0.65:
            points.append(dict.fromkeys(_POINT) | {"at": at})
            continue
        here = rate_hps * (0.97 + 0.04 * math.sin(at / 13_000) + chance.gauss(0, 0.012))
        expected = here * step_secs / (65536.0 * 2**32)
        spread = 1.96 / math.sqrt(max(expected, 1))
        points.append(
            {
                "at": at,
                "rate_hps": here,
                "rate_low_hps": here * (1 - spread * 0.4),
                "rate_high_hps": here * (1 + spread * 0.4),
                "shares": max(round(chance.gauss(expected, math.sqrt(expected))), 0),
                "expected_shares": expected,
                "best_difficulty": 1e9,
                "min_p_value": 0.3,
            }
        )
    return {"span": f"{round(span_secs / HOUR_SECS)}h", "step_secs": step_secs, "points": points}


_POINT = (
    "at",
    "rate_hps",
    "rate_low_hps",
    "rate_high_hps",
    "shares",
    "expected_shares",
    "best_difficulty",
    "min_p_value",
)


def shares(now: float, count: int = 400) -> dict[str, Any]:
    """Shares at difficulty 65536, the best first in `top`."""
    chance = random.Random(11)
    workers = ("stratum/attic", "stratum/attic", "stratum/attic", "stratum/kitchen")
    made = [
        {
            "at": now - 20 - number * 69.0 - chance.random() * 40,
            "difficulty": 65536.0 / (1 - chance.random()),
            "share_difficulty": 65536.0,
            "worker": chance.choice(workers),
            "hash": f"{chance.getrandbits(200):064x}",
            "height": 924_310 - number // 9,
            "network_difficulty": DIFFICULTY,
        }
        for number in range(count)
    ]
    top = sorted(made, key=lambda share: -float(str(share["difficulty"])))[:20]
    ever = {**top[0], "at": now - 41 * 86400, "difficulty": 7.4e10, "proof": "/api/v1/shares/best/proof"}
    return {"shares": made, "best_session": top[0], "best_ever": ever, "top": [ever, *top[:19]]}


def blocks(now: float) -> dict[str, Any]:
    """The block of the snapshot, as the records have it."""
    found_at = now - 4 * HOUR_SECS
    return {
        "blocks": [
            {
                "height": 924_288,
                "hash": HASH,
                "state": "confirmed",
                "found_at": found_at,
                "worker": "stratum/attic",
                "reward_sats": 317_321_334,
                "transactions": 3011,
                "confirmations": 23,
                "matures_at_height": 924_388,
                "answers": [
                    {"node": "home", "answer": "accepted", "at": found_at + 0.08},
                    {"node": "cellar", "answer": "inconclusive", "at": found_at + 0.31},
                ],
                "states": [
                    {"state": "sent", "at": found_at + 0.01},
                    {"state": "accepted", "at": found_at + 0.09},
                    {"state": "confirmed", "at": found_at + 1140},
                ],
                "proof": f"/api/v1/blocks/{HASH}/proof",
            }
        ],
        "next": None,
    }


def odds() -> dict[str, Any]:
    """Chances at RATE_HPS."""
    per_day = RATE_HPS * 86400 / (DIFFICULTY * 2**32)
    return {
        "network_difficulty": DIFFICULTY,
        "rate_hps": RATE_HPS,
        "chance_per_day": per_day,
        "chance_per_year": 1 - math.exp(-per_day * 365),
        "expected_secs_per_block": 86400 / per_day,
        "blocks_found": 1,
        "expected_blocks": 0.0022,
        "luck": 1 / 0.0022,
        "luck_p_value": 0.002,
    }


def latency() -> dict[str, Any]:
    """Of the last hours."""
    return {
        "kinds": {
            "tip_to_stop": {"samples": 152, "p50_secs": 0.0019, "p99_secs": 0.0057, "last_secs": 0.0021},
            "tip_to_empty": {"samples": 152, "p50_secs": 0.0056, "p99_secs": 0.0131, "last_secs": 0.0049},
            "tip_to_full": {"samples": 152, "p50_secs": 0.1394, "p99_secs": 0.2690, "last_secs": 0.1210},
        }
    }


def errors(now: float) -> dict[str, Any]:
    """One warning."""
    return {
        "errors": [
            {
                "at": now - 5400,
                "severity": "warning",
                "code": "node-behind",
                "message": "node cellar is 209 blocks behind the best node",
                "todo": "let it catch up, or look at its log if its height does not grow",
                "count": 3,
            }
        ]
    }


def reports(now: float) -> dict[str, Any]:
    """The last 24 hours."""

    hours = [time.gmtime(now - (number + 1) * HOUR_SECS) for number in range(24)]
    return {"reports": [{"part": time.strftime("%Y-%m-%d-%H", hour), "rate_hps": RATE_HPS} for hour in hours]}


def doctor() -> dict[str, Any]:
    """One warning with lines for bitcoin.conf."""
    return {
        "findings": [
            {
                "check": "node answers",
                "status": "ok",
                "evidence": "home answers in 2 ms",
                "todo": "",
                "subject": "home",
            },
            {
                "check": "zmq",
                "status": "warning",
                "evidence": "no ZMQ notifications: new tips are found by polling, up to 1 s later",
                "todo": "add to bitcoin.conf and restart the node:\nzmqpubhashblock=tcp://127.0.0.1:28332\n"
                "zmqpubsequence=tcp://127.0.0.1:28333",
                "subject": "cellar",
            },
            {"check": "clock", "status": "ok", "evidence": "0.1 s from the nodes' clocks", "todo": "", "subject": ""},
        ]
    }


def devices(now: float) -> dict[str, Any]:
    """Two Bitaxes, of which one is offline, and a NerdQAxe that mines on two pools."""
    kitchen = {
        "name": "kitchen", "host": "192.168.1.51", "kind": "axeos", "state": "hashing", "seen_at": now - 7,
        "failures": 0, "problem": "", "model": "BM1370", "firmware": "v2.9.0", "hostname": "bitaxe-kitchen",
        "rate_hps": 1.21e12, "temp_c": 58.4, "hot_c": 70.0, "vr_temp_c": 51.0, "power_w": 18.3, "j_per_th": 15.12,
        "fan_rpm": 4210.0, "uptime_secs": 302_400.0, "shares_accepted": 1102, "shares_rejected": 3,
        "best_session_difficulty": 2.1e9, "best_ever_difficulty": 4.29e9, "pools": ["192.168.1.20:3333"],
        "mines_here": True,
    }  # fmt: skip
    attic = kitchen | {
        "name": "attic", "host": "192.168.1.52", "model": "NerdQAxe++", "firmware": "v1.0.36", "rate_hps": 4.8e12,
        "temp_c": 63.0, "vr_temp_c": 66.0, "power_w": 76.0, "j_per_th": 15.83, "shares_accepted": 3884,
        "shares_rejected": 0, "best_session_difficulty": 7.4e10, "best_ever_difficulty": 3.2e11,
        "pools": ["192.168.1.20:3333", "203.0.113.7:3333"],
    }  # fmt: skip
    garage = kitchen | {
        "name": "garage", "host": "192.168.1.53", "state": "offline", "seen_at": now - 5000, "failures": 160,
        "problem": "it does not answer: check its power and network", "rate_hps": None, "temp_c": None,
        "vr_temp_c": None, "power_w": None, "j_per_th": None, "fan_rpm": None, "uptime_secs": None,
    }  # fmt: skip
    return {"devices": [kitchen, attic, garage], "interval_secs": 30.0, "offline_after": 3}


def answers(now: float) -> dict[str, Any]:
    """What the API answers, by the path below /api/v1; history by its span."""
    return {
        "/history?span=1h": history(now, HOUR_SECS, 60),
        "/history?span=24h": history(now, 24 * HOUR_SECS, HOUR_SECS / 4),
        "/history?span=7d": history(now, 7 * 24 * HOUR_SECS, HOUR_SECS),
        "/history?span=30d": history(now, 30 * 24 * HOUR_SECS, HOUR_SECS),
        "/shares": shares(now),
        "/blocks": blocks(now),
        "/odds": odds(),
        "/latency": latency(),
        "/errors": errors(now),
        "/reports": reports(now),
        "/doctor": doctor(),
        "/devices": devices(now),
        "/session": {"role": "control", "local": True, "login_required": False},
    }
