"""Temperatures of cards: the kernel's sensors, NVIDIA's library, and the ceiling."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from solominer.engines.gpu import temperature
from solominer.engines.gpu.kernel import Device
from solominer.engines.gpu.temperature import Ceiling, thermometer

BUS = "0000:65:00.0"


def card(bus: str = BUS, name: str = "Card") -> Device:
    return Device(0, name, "Driver 1", 1 << 30, "gpu", "opencl", bus)


@pytest.fixture
def sensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(temperature, "PCI", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    folder = tmp_path / BUS / "hwmon/hwmon2"
    folder.mkdir(parents=True)
    return folder


def sensor(folder: Path, number: int, label: str, text: str) -> None:
    (folder / f"temp{number}_input").write_text(text)
    if label:
        (folder / f"temp{number}_label").write_text(f"{label}\n")


def test_the_hottest_spot_is_read_if_the_card_has_one(sensors: Path) -> None:
    sensor(sensors, 1, "edge", "60000\n")
    read = thermometer(card())
    assert read is not None
    assert read() == 60.0
    sensor(sensors, 2, "junction", "75500\n")
    read = thermometer(card())
    assert read is not None
    assert read() == 75.5
    (sensors / "temp2_input").unlink()
    assert read() is None, "the card has gone"


def test_a_sensor_without_a_label_is_read(sensors: Path) -> None:
    sensor(sensors, 1, "", "41000")
    read = thermometer(card())
    assert read is not None
    assert read() == 41.0


@pytest.mark.parametrize("text", ["", "hot", "12.5.1"])
def test_nonsense_is_no_thermometer(sensors: Path, text: str) -> None:
    sensor(sensors, 1, "edge", text)
    assert thermometer(card()) is None
    assert thermometer(card(bus="")) is None
    assert thermometer(card(bus="0000:99:00.0")) is None


class NvmlError(Exception):
    """As NVIDIA's library raises."""


def nvml(names: list[str], fails: str = "") -> Any:
    def handle(index: int) -> int:
        return index

    def by_bus(bus: bytes) -> int:
        if bus != BUS.encode():
            raise NvmlError
        return 0

    def degrees(handle: int, sensor: int) -> int:
        if fails == "reading":
            raise NvmlError
        return 50 + handle

    def init() -> None:
        if fails == "init":
            raise NvmlError

    return SimpleNamespace(
        NVMLError=NvmlError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=init,
        nvmlDeviceGetCount=lambda: len(names),
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetHandleByPciBusId=by_bus,
        nvmlDeviceGetName=lambda handle: names[handle],
        nvmlDeviceGetTemperature=degrees,
    )


@pytest.mark.parametrize(
    ("names", "device", "fails", "degrees"),
    [
        (["A", "A"], card(), "", 50.0),
        (["A", "B"], card(bus="", name="B"), "", 51.0),
        (["A", "A"], card(bus="", name="A"), "", None),
        (["A"], card(bus="0000:99:00.0"), "", None),
        (["A"], card(), "init", None),
        (["A"], card(), "reading", None),
    ],
)
def test_nvidias_library_is_asked_for_this_very_card(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    names: list[str],
    device: Device,
    fails: str,
    degrees: float | None,
) -> None:
    monkeypatch.setattr(temperature, "PCI", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", nvml(names, fails))
    read = thermometer(device)
    assert (None if read is None else read()) == degrees


def test_the_ceiling_has_hysteresis() -> None:
    ceiling = Ceiling(80.0)
    seen = [(ceiling.saw(celsius), ceiling.hot) for celsius in (80, 80.5, 76, 75, 79, 90, None)]
    assert seen == [
        (False, False),
        (True, True),
        (False, True),
        (True, False),
        (False, False),
        (True, True),
        (True, False),
    ]
    assert not Ceiling(None).saw(200)
