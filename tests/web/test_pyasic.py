"""Devices that are asked with pyasic: the process, with a package that stands for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from solominer.config.devices import DeviceConfig
from solominer.web.devices import pyasic_client
from solominer.web.devices.device import Device, DeviceState
from solominer.web.devices.pyasic_client import PyasicProcess, reading
from solominer.web.devices.reading import DeviceFailed, Reading
from tests.ports import free_port
from tests.web.fake_devices import FakeDevice, page

FAKE = '''
"""As pyasic 0.79: get_miner, and get_data with the fields that are asked for."""
import asyncio
import os
from types import SimpleNamespace as Object

print("a library that prints")

BOARDS = [Object(temp=61.0, chip_temp=74.0), Object(temp=62.5, chip_temp=None), Object(temp=None, chip_temp=None)]
POOLS = [
    Object(active=False, accepted=9, rejected=9, url="stratum+tcp://203.0.113.7:3333"),
    Object(active=True, accepted=500, rejected=2, url="stratum+tcp://192.168.1.20:3333"),
]


class Miner:
    async def get_data(self, include):
        assert "hashrate" in include
        return Object(
            make="AntMiner", model="S19 Pro", fw_ver="2022-12-12", hostname="antminer",
            hashrate=Object(rate=104.5, unit=10**12), hashboards=BOARDS, fans=[Object(speed=5880), Object(speed=None)],
            wattage=3250, uptime=7200, pools=POOLS,
        )


async def get_miner(host):
    if host == "10.0.0.9":
        os._exit(7)
    if host == "10.0.0.8":
        await asyncio.sleep(60)
    if host == "10.0.0.7":
        raise ValueError("a bug")
    return Miner() if host in ("10.0.0.1", "127.0.0.1") else None
'''

ANTMINER = Reading(
    kind="pyasic", model="AntMiner S19 Pro", firmware="2022-12-12", hostname="antminer", rate_hps=104.5e12, temp_c=74.0,
    power_w=3250.0, fan_rpm=5880.0, uptime_secs=7200.0, shares_accepted=500, shares_rejected=2,
    pools=("192.168.1.20:3333",),
)  # fmt: skip


@pytest.fixture
async def process() -> AsyncIterator[PyasicProcess]:
    process = PyasicProcess()
    yield process
    await process.close()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is there, for a process that is started now."""
    (tmp_path / "pyasic.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has, the package cannot be imported."""
    (tmp_path / "pyasic.py").write_text("raise ImportError('No module named pyasic')\n")
    monkeypatch.syspath_prepend(tmp_path)


async def test_an_antminer(installed: None, process: PyasicProcess) -> None:
    device = Device(DeviceConfig(host="10.0.0.1", kind="pyasic"), 3)
    await device.ask(process)
    assert device.reading == ANTMINER
    assert device.state is DeviceState.HASHING
    assert device.hot_c == pyasic_client.HOT_C
    assert "pyasic" not in sys.modules


async def test_many_are_asked_at_a_time_and_one_that_hangs_holds_up_nobody(
    installed: None, process: PyasicProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = asyncio.create_task(process.read("10.0.0.8"))
    assert await asyncio.gather(*(process.read("10.0.0.1") for _ in range(5))) == [ANTMINER] * 5
    assert not hanging.done()
    monkeypatch.setattr(pyasic_client, "TIMEOUT_SECS", 0.05)
    with pytest.raises(DeviceFailed, match="does not answer pyasic"):
        await process.read("10.0.0.8")
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


async def test_one_that_it_does_not_know_a_bug_of_it_and_its_end(installed: None, process: PyasicProcess) -> None:
    for host, problem in (
        ("10.0.0.2", "pyasic does not know it"),
        ("10.0.0.7", "pyasic failed: ValueError"),
        ("10.0.0.9", "pyasic ended unexpectedly"),
    ):
        with pytest.raises(DeviceFailed, match=problem):
            await process.read(host)
    assert await process.read("10.0.0.1") == ANTMINER


async def test_a_process_that_cannot_be_started_and_one_that_talks_nonsense(
    process: PyasicProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyasic_client, "python_command", lambda module: (["/no/such/python"], {}))
    with pytest.raises(DeviceFailed, match="pyasic cannot be started: No such file"):
        await process.read("10.0.0.1")
    for nonsense in ("print('x' * 200_000)", "print('nonsense', flush=True); input()"):
        command = [sys.executable, "-c", nonsense]
        monkeypatch.setattr(pyasic_client, "python_command", lambda module, command=command: (command, {}))
        with pytest.raises(DeviceFailed, match="pyasic ended unexpectedly"):
            await process.read("10.0.0.1")


async def test_without_the_package_it_says_how_to_install_it(missing: None, process: PyasicProcess) -> None:
    device = Device(DeviceConfig(host="10.0.0.1", kind="pyasic"), 1)
    await device.ask(process)
    assert "is not installed" in device.problem
    assert 'pip install "solominer[asic]"' in device.problem
    assert device.state is DeviceState.OFFLINE
    auto = Device(DeviceConfig(host=f"127.0.0.1:{free_port()}"), 1)
    await auto.ask(process)
    assert auto.problem.startswith("it does not speak AxeOS (it refuses connections on port ")
    assert 'pip install "solominer[asic]"' in auto.problem


async def test_auto_finds_out_what_it_is(installed: None, process: PyasicProcess) -> None:
    async with FakeDevice(page(b"<html>", "401 Unauthorized")).serving() as web:
        device = Device(DeviceConfig(host=web.host), 3)
        await device.ask(process)
        await device.ask(process)
        assert device.reading == ANTMINER
        assert len(web.asked) == 1, "once it is known, only pyasic is asked"
        device.fail("it was replaced")
        web.answer = {"hashRate": 5}
        await device.ask(process)
    assert device.reading is not None
    assert device.reading.kind == "axeos"


async def test_auto_of_what_nobody_knows(installed: None, process: PyasicProcess) -> None:
    async with FakeDevice(page(b"<html>")).serving() as web:
        device = Device(DeviceConfig(host=f"localhost:{web.port}"), 3)
        await device.ask(process)
    assert "(its answer is not a JSON object), and pyasic does not know it" in device.problem


def test_fields_of_wrong_types_are_unknown() -> None:
    names = ("model", "rate_hps", "temp_c", "power_w", "fan_rpm", "uptime_secs", "shares_accepted", "pools")
    wrongs: list[Any] = [None, [], {}, float("nan"), -1, [None, 5]]
    for wrong in wrongs:
        assert reading(dict.fromkeys(names, wrong)) == Reading("pyasic")
