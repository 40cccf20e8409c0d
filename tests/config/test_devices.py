"""Settings of the device monitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from solominer.config.devices import DeviceConfig, DevicePolling
from solominer.config.load import load_config
from solominer.errors import ConfigError


@pytest.mark.parametrize(
    ("host", "place", "label"),
    [
        ("192.168.1.50", ("192.168.1.50", 80), "192.168.1.50"),
        ("192.168.1.50:8080", ("192.168.1.50", 8080), "192.168.1.50:8080"),
        ("http://bitaxe.local/", ("bitaxe.local", 80), "bitaxe.local"),
        ("http://bitaxe:81", ("bitaxe", 81), "bitaxe:81"),
        ("fd00::5", ("fd00::5", 80), "fd00::5"),
        ("[fd00::5]:81", ("fd00::5", 81), "[fd00::5]:81"),
    ],
)
def test_hosts(host: str, place: tuple[str, int], label: str) -> None:
    device = DeviceConfig(host=host)
    assert device.place == place
    assert device.label == label
    assert DeviceConfig(host=device.host).place == place
    assert DeviceConfig(host=host, name="kitchen").label == "kitchen"
    assert DeviceConfig.model_validate(host) == device


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"host": ""},
        {"host": "https://bitaxe"},
        {"host": "me:secret@bitaxe"},
        {"host": "http://bitaxe/api"},
        {"host": "bitaxe:99999"},
        {"host": "bitaxe", "kind": "toaster"},
        {"host": "bitaxe", "hot_c": 0},
        {"host": "bitaxe", "port": 80},
    ],
)
def test_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DeviceConfig(**values)


@pytest.mark.parametrize("values", [{"interval_secs": 9}, {"interval_secs": "2h"}, {"offline_after": 0}])
def test_polling_is_slow(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DevicePolling(**values)


def loaded(folder: Path, **values: Any) -> Any:
    path = folder / "config.json"
    path.write_text(json.dumps({"mode": "demo", **values}))
    return load_config(path, environ={})


def test_in_a_config(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        devices=["10.0.0.1", {"host": "10.0.0.2", "name": "shed", "kind": "PYASIC", "hot_c": "80 C"}],
        device_polling={"interval_secs": "1m", "offline_after": 5},
    )
    assert [each.label for each in config.devices] == ["10.0.0.1", "shed"]
    assert (config.devices[1].kind, config.devices[1].hot_c) == ("pyasic", 80.0)
    assert (config.device_polling.interval_secs, config.device_polling.offline_after) == (60.0, 5)


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (["10.0.0.1", {"host": "10.0.0.1"}], "two devices have the same name or host"),
        ([{"host": "10.0.0.1", "name": "a"}, {"host": "10.0.0.2", "name": "a"}], "two devices have the same name"),
        ([{"host": "10.0.0.1", "nmae": "a"}], "unknown setting 'devices.0.nmae'"),
        ([{"host": "https://10.0.0.1"}], "devices.0.host: miners answer over http"),
        ([f"10.0.{number // 250}.{number % 250}" for number in range(300)], "at most 256"),
    ],
)
def test_wrong_in_a_config(tmp_path: Path, devices: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, devices=devices)
