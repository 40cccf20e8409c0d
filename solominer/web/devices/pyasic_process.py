"""Asks miners with pyasic, which takes tens of megabytes: a process of its own, until its standard input ends.

Lines of JSON: `{"id": …, "host": …}` in; `{"id": …, "fields": {…}}` or `{"id": …, "error": …}` out, in any order.
The exit code is MISSING if pyasic is not installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import IO, Any

from solominer.engines.pool.processes import die_with

MISSING = 3
_ASKED = ("hostname", "fw_ver", "hashrate", "hashboards", "fans", "wattage", "uptime", "pools")


def main() -> int:
    """Answer until standard input ends; returns the exit code."""
    die_with(os.getppid())
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    try:
        import pyasic
    except ImportError:
        return MISSING
    asyncio.run(_serve(pyasic, answers))
    return 0


async def _serve(pyasic: Any, answers: IO[str]) -> None:
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin.buffer)
    tasks: set[asyncio.Task[None]] = set()
    while line := await stdin.readline():
        task = asyncio.create_task(_answer(pyasic, json.loads(line), answers))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _answer(pyasic: Any, request: dict[str, Any], answers: IO[str]) -> None:
    try:
        miner = await pyasic.get_miner(request["host"])
        found = {"error": "pyasic does not know it"} if miner is None else {"fields": await _fields(miner)}
    except Exception as error:  # noqa: BLE001 - a library's; the next request may go well
        found = {"error": f"pyasic failed: {type(error).__name__}"}
    answers.write(json.dumps({"id": request["id"], **found}) + "\n")


async def _fields(miner: Any) -> dict[str, Any]:
    data = await miner.get_data(include=list(_ASKED))
    rate, pools = data.hashrate, [each for each in data.pools if each.active]
    temps = [temp for board in data.hashboards for temp in (board.chip_temp, board.temp) if temp is not None]
    return {
        "model": " ".join(part for part in (data.make, data.model) if part),
        "firmware": data.fw_ver,
        "hostname": data.hostname,
        "rate_hps": None if rate is None else float(rate.rate) * int(rate.unit),
        "temp_c": max(temps, default=None),
        "power_w": data.wattage,
        "fan_rpm": max((fan.speed for fan in data.fans if fan.speed is not None), default=None),
        "uptime_secs": data.uptime,
        "shares_accepted": sum(each.accepted or 0 for each in pools) if pools else None,
        "shares_rejected": sum(each.rejected or 0 for each in pools) if pools else None,
        "pools": [str(each.url) for each in pools if each.url is not None],
    }


if __name__ == "__main__":
    sys.exit(main())
