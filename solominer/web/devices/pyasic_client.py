"""Asks Antminer, Whatsminer, Avalon and others through the process that has pyasic. It is started when first needed."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from solominer.engines.pool.processes import python_command
from solominer.web.devices.pyasic_process import MISSING
from solominer.web.devices.reading import (
    MOST_POOLS,
    MOST_TEMP_C,
    DeviceFailed,
    Reading,
    number,
    pool,
    positive,
    text,
    whole,
)

KIND = "pyasic"
HOT_C = 90.0
TIMEOUT_SECS = 30.0
INSTALL = 'pip install "solominer[asic]"'

_Answer = dict[str, Any]


class PyasicMissing(DeviceFailed):
    """The package is not installed."""


class PyasicProcess:
    """The process. Ends with `close`, and by itself when this one ends."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[_Answer]] = {}

    async def read(self, host: str) -> Reading:
        """Ask one miner. Raises DeviceFailed."""
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(TIMEOUT_SECS), self._starting:
                process = await self._started()
                self._waiting[number] = answer
                assert process.stdin is not None
                process.stdin.write(json.dumps({"id": number, "host": host}).encode() + b"\n")
            async with asyncio.timeout(TIMEOUT_SECS):
                found = await answer
        except TimeoutError:
            raise DeviceFailed("it does not answer pyasic", "check its power and network") from None
        except OSError as error:
            raise DeviceFailed(f"pyasic cannot be started: {error.strerror}", "look at the log") from None
        finally:
            self._waiting.pop(number, None)
        fields = found.get("fields")
        if not isinstance(fields, dict):
            raise DeviceFailed(str(found.get("error")), "check its address, and that it is switched on")
        return reading(fields)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._reading is None or self._reading.done():
            command, environment = python_command("solominer.web.devices.pyasic_process")
            pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=nothing, env=environment
            )
            self._reading = asyncio.create_task(self._take(self._process), name="pyasic")
        return self._process

    async def _take(self, process: asyncio.subprocess.Process) -> None:
        """Hand out the answers until the process ends; whoever still waits then is told why."""
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                found = json.loads(line)
                answer = self._waiting.get(found["id"])
                if answer is not None and not answer.done():
                    answer.set_result(found)
        except ValueError:  # a line without end
            _kill(process)
        code = await process.wait()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_ended(code))

    async def close(self) -> None:
        """End the process."""
        if self._process is not None and self._reading is not None:
            _kill(self._process)
            await self._reading


def _ended(code: int) -> DeviceFailed:
    if code == MISSING:
        return PyasicMissing("pyasic, which knows this kind of miner, is not installed", INSTALL)
    return DeviceFailed("pyasic ended unexpectedly", "it is started again at the next poll")


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


def reading(fields: Mapping[str, Any]) -> Reading:
    """The process's answer as a Reading; pyasic knows no best difficulty."""
    pools = fields.get("pools")
    return Reading(
        kind=KIND,
        model=text(fields.get("model")),
        firmware=text(fields.get("firmware")),
        hostname=text(fields.get("hostname")),
        rate_hps=number(fields.get("rate_hps")),
        temp_c=positive(fields.get("temp_c"), MOST_TEMP_C),
        power_w=positive(fields.get("power_w")),
        fan_rpm=number(fields.get("fan_rpm")),
        uptime_secs=number(fields.get("uptime_secs")),
        shares_accepted=whole(fields.get("shares_accepted")),
        shares_rejected=whole(fields.get("shares_rejected")),
        pools=tuple(filter(None, map(pool, pools[:MOST_POOLS]))) if isinstance(pools, list) else (),
    )
