"""ckpool's status files, for ckstats and whatever else reads them: `pool/pool.status` and `users/ADDRESS`.

They are written every minute while the daemon runs, each of them atomically. Hash rates have ckpool's suffixes; what
readers take as BigInt is an integer. As in ckpool, an address's `bestever` is carried over from its file.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from solominer.errors import SolominerError
from solominer.records.files import read_bounded
from solominer.records.tree import atomic_write, make_folder
from solominer.web.compat.clients import Client, clients_of
from solominer.web.compat.history import UNIT_HASHES, Series, WorkHistory
from solominer.web.site import Site

WRITE_SECS = 60.0
IDLE_SECS = 120.0
"""A worker without a share for this long is idle: shares of miners are known to the minute."""

POOL_WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "1hr": 3600, "6hr": 21600, "1d": 86400, "7d": 604800}
USER_WINDOWS = {name: POOL_WINDOWS[name] for name in ("1m", "5m", "1hr", "1d", "7d")}
SHARE_WINDOWS = {"SPS1m": 60, "SPS5m": 300, "SPS15m": 900, "SPS1h": 3600}

_SUFFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))
_MOST_BYTES = 1 << 20

log = logging.getLogger(__name__)


async def keep_written(site: Site, folder: Path) -> NoReturn:
    """Write the files until cancelled. Trouble is logged when it begins and when it is over."""
    trouble = ""
    while True:
        before, trouble = trouble, await asyncio.to_thread(_write_if_running, site, folder)
        if trouble != before:
            log.warning("%s", trouble or f"the status files in {folder} are written again")
        await asyncio.sleep(WRITE_SECS if site.feed.running else 1.0)


def _write_if_running(site: Site, folder: Path) -> str:
    """Write the files while the daemon runs; returns the problem, or ''."""
    try:
        if site.feed.running and site.feed.status is not None:
            with site.work.current() as history:
                write(folder, site.feed.status, history)
    except (OSError, SolominerError) as error:
        return f"the status files in {folder} cannot be written: {error}"
    return ""


def write(folder: Path, status: Mapping[str, Any], history: WorkHistory) -> None:
    """Write all files below `folder`. Raises OSError."""
    clients = clients_of(status, history)
    make_folder(folder / "users")
    make_folder(folder / "pool")
    for address in sorted({each.address for each in clients} - {""}):
        path = folder / "users" / address
        theirs = [each for each in clients if each.address == address]
        document = user(theirs, status, _best_ever(path))
        atomic_write(path, (json.dumps(document, indent=1) + "\n").encode())
    lines = "".join(json.dumps(line) + "\n" for line in pool(clients, status, history))
    atomic_write(folder / "pool/pool.status", lines.encode())


def pool(
    clients: Sequence[Client], status: Mapping[str, Any], history: WorkHistory
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The three lines of pool.status.

    `accepted` is the work of the run in shares of difficulty 1, `diff` that in percent of the network's difficulty.
    `rejected` counts shares: their difficulty is not recorded.
    """
    connected = [each for each in clients if each.is_connected]
    accepted = sum(each.work for each in clients)
    network_difficulty = status["network_difficulty"]
    return (
        {
            "runtime": int(status["at"] - status["started_at"]),
            "lastupdate": int(status["at"]),
            "Users": len({each.address for each in connected} - {""}),
            "Workers": len(connected),
            "Idle": sum(status["at"] - each.last_share_at > IDLE_SECS for each in connected),
            "Disconnected": len(clients) - len(connected),
        },
        _rates([history.work], POOL_WINDOWS, status["at"]),
        {
            "diff": round(100 * accepted / network_difficulty, 2) if network_difficulty else 0.0,
            "accepted": int(accepted),
            "rejected": sum(each.view["rejected"] for each in clients),
            "bestshare": int(max((each.best_of_run for each in clients), default=0)),
            **{name: round(history.shares.rate(secs, status["at"]), 6) for name, secs in SHARE_WINDOWS.items()},
        },
    )


def user(clients: Sequence[Client], status: Mapping[str, Any], best_ever: int) -> dict[str, Any]:
    """The file of an address. `authorised` is when its first worker of this run logged in, in Unix seconds."""
    logins = [each.past.connected_at for each in clients if each.past.connected_at >= status["started_at"]]
    return {
        **_rates([each.past.work for each in clients], USER_WINDOWS, status["at"]),
        "lastshare": int(max(each.last_share_at for each in clients)),
        "workers": sum(each.is_connected for each in clients),
        "shares": int(sum(each.work for each in clients)),
        "bestshare": max(each.best_of_run for each in clients),
        "bestever": max(best_ever, *(int(each.best_difficulty) for each in clients)),
        "authorised": int(min(logins, default=status["started_at"])),
        "worker": [_worker(each, status["at"]) for each in clients],
    }


def _worker(each: Client, now: float) -> dict[str, Any]:
    return {
        "workername": f"{each.address}.{each.name}",
        **_rates([each.past.work], USER_WINDOWS, now),
        "lastshare": int(each.last_share_at),
        "shares": int(each.work),
        "bestshare": each.best_of_run,
        "bestever": int(each.best_difficulty),
    }


def _rates(works: Sequence[Series], windows: Mapping[str, int], now: float) -> dict[str, str]:
    return {
        f"hashrate{name}": suffixed(sum(work.rate(secs, now) for work in works) * UNIT_HASHES)
        for name, secs in windows.items()
    }


def suffixed(value: float) -> str:
    """As ckpool writes a rate: three digits and a suffix from 1000 on, else an integer."""
    for size, suffix in _SUFFIXES:
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return str(int(value))


def _best_ever(path: Path) -> int:
    """The best difficulty in the address's file; 0 without one."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        return max(0, int(json.loads(read_bounded(path, _MOST_BYTES))["bestever"]))
    return 0
