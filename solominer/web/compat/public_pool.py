"""public-pool's API, for its page, Umbrel's widgets and Home Assistant: field names, types and units are theirs.

What is not known is 0, null or left out, as they do where they know nothing (docs/web.md lists it). A lost daemon has
no miners, and its last height.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException

from solominer.chain.networks import network_named
from solominer.insight.odds import hashes_at_difficulty
from solominer.web.compat.clients import Client, clients_of, split
from solominer.web.compat.history import BIN_SECS, UNIT_HASHES, Series
from solominer.web.site import Site, TheSite

CHART_BINS = 144
"""A day."""

MOST_BLOCKS = 1000
MOST_SCORES = 10

router = APIRouter(prefix="/api", tags=["public-pool"])

Shape = dict[str, Any]


@router.get("/pool")
def pool(site: TheSite) -> Shape:
    """Hash rate, miners and blocks. `totalMiners` counts workers, not connections."""
    status = _status(site)
    workers = [each for each in status["workers"] if each["alive"]] if site.feed.running else []
    return {
        "totalHashRate": sum(each["rate_hps"] for each in workers),
        "blockHeight": status["height"],
        "totalMiners": len(workers),
        "blocksFound": _blocks(site, status),
        "fee": 0,
    }


@router.get("/network")
def network(site: TheSite) -> Shape:
    """As Bitcoin Core's getmininginfo; `networkhashps` is the rate that fits the difficulty."""
    status = _status(site)
    rules, template = network_named(status["network"]), status["template"]
    difficulty = status["network_difficulty"]
    rate_hps = 0.0 if rules.no_retarget else hashes_at_difficulty(difficulty) / 600
    return {
        "blocks": status["height"],
        "currentblockweight": template["weight"] if template else 0,
        "currentblocktx": template["transactions"] if template else 0,
        "difficulty": difficulty,
        "networkhashps": rate_hps,
        "pooledtx": None,
        "chain": rules.chain,
        "warnings": "",
    }


@router.get("/info")
def info(site: TheSite) -> Shape:
    """Blocks, clients by user agent, the best shares, and since when the daemon runs."""
    status = _status(site)
    clients = _clients(site)
    best = sorted((each for each in clients if each.best_difficulty), key=lambda each: -each.best_difficulty)
    return {
        "blockData": _blocks(site, status),
        "userAgents": _user_agents(clients),
        "highScores": [
            {
                "updatedAt": _iso(each.last_share_at or status["at"]),
                "bestDifficulty": each.best_difficulty,
                "bestDifficultyUserAgent": each.view["kernel"],
            }
            for each in best[:MOST_SCORES]
        ],
        "uptime": _iso(status["started_at"]),
    }


@router.get("/info/chart")
def info_chart(site: TheSite) -> list[Shape]:
    """The hash rate of the last day in steps of ten minutes."""
    with site.work.current() as history:
        return _chart([history.work], time.time())


@router.get("/client/{address}")
def client(site: TheSite, address: str) -> Shape:
    """The workers of an address that are connected. Unknown addresses have none."""
    status = _status(site)
    with site.work.current() as history:
        known = [each for each in clients_of(status, history) if each.address == address]
    workers = [each for each in known if each.is_connected and site.feed.running]
    answer: Shape = {"bestDifficulty": max(each.best_difficulty for each in known)} if known else {}
    return answer | {"workersCount": len(workers), "workers": [_worker(each, status) for each in workers]}


@router.get("/client/{address}/chart")
def client_chart(site: TheSite, address: str) -> list[Shape]:
    """The hash rate of an address in the last day, in steps of ten minutes."""
    status = _status(site)
    with site.work.current() as history:
        works = [each.work for name, each in history.workers.items() if split(name, status)[0] == address]
        return _chart(works, time.time())


def _status(site: Site) -> Mapping[str, Any]:
    status = site.feed.status
    if status is None:
        raise HTTPException(503, "the daemon has not been reached yet")
    return status


def _clients(site: Site) -> list[Client]:
    with site.work.current() as history:
        clients = clients_of(site.feed.status, history) if site.feed.running else []
    return [each for each in clients if each.is_connected]


def _worker(each: Client, status: Mapping[str, Any]) -> Shape:
    session = zlib.crc32(each.view["worker"].encode())
    return {
        "sessionId": f"{session:08x}",
        "name": each.name,
        "bestDifficulty": f"{each.best_of_run:.2f}",
        "hashRate": each.view["rate_hps"],
        "startTime": _iso(max(each.past.connected_at, status["started_at"])),
        "lastSeen": _iso(status["at"]),
    }


def _user_agents(clients: Sequence[Client]) -> list[Shape]:
    groups: dict[str, list[Client]] = {}
    for each in clients:
        groups.setdefault(each.view["kernel"], []).append(each)
    return [
        {
            "userAgent": name,
            "count": len(group),
            "bestDifficulty": max(each.best_of_run for each in group),
            "totalHashRate": sum(each.view["rate_hps"] for each in group),
        }
        for name, group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _blocks(site: Site, status: Mapping[str, Any]) -> list[Shape]:
    found = [entry for entry in site.ledger.query("blocks", limit=8 * MOST_BLOCKS) if entry["kind"] == "block_found"]
    shapes = []
    for entry in found[-MOST_BLOCKS:]:
        address, name = split(entry["worker"], status)
        session = zlib.crc32(entry["worker"].encode())
        shapes.append(
            {"height": entry["height"], "minerAddress": address, "worker": name, "sessionId": f"{session:08x}"}
        )
    return shapes


def _chart(works: Sequence[Series], now: float) -> list[Shape]:
    """Bins that are over, oldest first. Those in which nothing was done are left out, as public-pool does."""
    newest = int(now // BIN_SECS) * BIN_SECS
    sums: dict[int, float] = {}
    for work in works:
        for start, units in work.bins.items():
            if newest - CHART_BINS * BIN_SECS <= start < newest:
                sums[start] = sums.get(start, 0.0) + units
    return [{"label": _iso(start), "data": round(sums[start] * UNIT_HASHES / BIN_SECS)} for start in sorted(sums)]


def _iso(at: float) -> str:
    """As JavaScript's Date in JSON."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
