"""Devices: the newest reading of each, the state that follows from it, and who asks them again and again."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import NoReturn

from solominer.config.devices import DeviceConfig, DevicePolling
from solominer.web.devices import axeos, pyasic_client
from solominer.web.devices.pyasic_client import PyasicMissing, PyasicProcess
from solominer.web.devices.reading import DeviceFailed, Reading, WrongKind

MOST_AT_A_TIME = 16

COOLER_C = 3.0
"""How far below its limit a hot device must be to count as cool again."""

_HOT_C = {axeos.KIND: axeos.HOT_C, pyasic_client.KIND: pyasic_client.HOT_C}


class DeviceState(StrEnum):
    """`hot` comes before `hashing` and `idle`; `offline` before all."""

    HASHING = "hashing"
    IDLE = "idle"
    HOT = "hot"
    OFFLINE = "offline"


class Device:
    """A device of the configuration. `state` is None until it is known; `seen_at` is in Unix seconds.

    `failures` counts failed polls in a row; from `offline_after` on it is offline, whose last `reading` is kept.
    `problem` is why the last poll failed, or empty.
    """

    def __init__(self, config: DeviceConfig, offline_after: int) -> None:
        self.config, self._offline_after = config, offline_after
        self.state: DeviceState | None = None
        self.reading: Reading | None = None
        self.seen_at: float | None = None
        self.failures = 0
        self.problem = ""

    @property
    def hot_c(self) -> float | None:
        """The chip temperature from which it is hot; None while its kind is unknown."""
        return self.config.hot_c or (None if self.reading is None else _HOT_C[self.reading.kind])

    async def ask(self, pyasic: PyasicProcess) -> None:
        """Ask it once."""
        try:
            self.take(await self._read(pyasic), time.time())
        except DeviceFailed as error:
            self.fail(f"{error.what}: {error.todo}")

    async def _read(self, pyasic: PyasicProcess) -> Reading:
        host, port = self.config.place
        kind: str = self.config.kind
        if kind == "auto" and self.reading is not None and not self.failures:
            kind = self.reading.kind
        if kind == pyasic_client.KIND:
            return await pyasic.read(host)
        try:
            return await axeos.read(host, port)
        except WrongKind as error:
            if kind == axeos.KIND:
                raise
            return await self._otherwise(pyasic, host, error)

    async def _otherwise(self, pyasic: PyasicProcess, host: str, error: WrongKind) -> Reading:
        try:
            return await pyasic.read(host)
        except PyasicMissing as missing:
            raise DeviceFailed(f"it does not speak AxeOS ({error.what}), and {missing.what}", missing.todo) from None
        except DeviceFailed as other:
            raise DeviceFailed(f"it does not speak AxeOS ({error.what}), and {other.what}", other.todo) from None

    def take(self, reading: Reading, at: float) -> None:
        """Record an answer."""
        self.reading, self.seen_at = reading, at
        self.failures, self.problem = 0, ""
        if self._is_hot(reading):
            self.state = DeviceState.HOT
        else:
            self.state = DeviceState.HASHING if reading.rate_hps else DeviceState.IDLE

    def fail(self, problem: str) -> None:
        """Record a failed request."""
        self.failures += 1
        self.problem = problem
        if self.failures >= self._offline_after:
            self.state = DeviceState.OFFLINE

    def _is_hot(self, reading: Reading) -> bool:
        slack = COOLER_C if self.state is DeviceState.HOT else 0.0
        limit = self.hot_c
        chip = reading.temp_c is not None and limit is not None and reading.temp_c >= limit - slack
        regulator = reading.vr_temp_c is not None and reading.vr_temp_c >= axeos.VR_HOT_C - slack
        return reading.overheated or chip or regulator


class DeviceMonitor:
    """`devices` in the order of the configuration."""

    def __init__(self, configs: tuple[DeviceConfig, ...], polling: DevicePolling) -> None:
        self.polling = polling
        self.devices = [Device(each, polling.offline_after) for each in configs]
        self._pyasic = PyasicProcess()
        self._slots = asyncio.Semaphore(MOST_AT_A_TIME)

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for device in self.devices:
                    group.create_task(self._follow(device), name=f"device {device.config.label}")
        finally:
            await self._pyasic.close()

    async def _follow(self, device: Device) -> NoReturn:
        while True:
            await self._ask(device)
            await asyncio.sleep(self.polling.interval_secs)

    async def _ask(self, device: Device) -> None:
        async with self._slots:
            await device.ask(self._pyasic)

    async def ask_once(self) -> None:
        """Ask every device once."""
        try:
            await asyncio.gather(*map(self._ask, self.devices))
        finally:
            await self._pyasic.close()
