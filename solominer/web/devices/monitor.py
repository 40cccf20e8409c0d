"""Asks every device of the configuration again and again, each at its own pace."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from solominer.config.devices import DeviceConfig, DevicePolling
from solominer.web.devices.device import Device
from solominer.web.devices.pyasic_client import PyasicProcess

MOST_AT_A_TIME = 16


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
