"""Settings of MQTT."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from solominer.config.mqtt import MqttConfig


@pytest.mark.parametrize(("written", "host"), [("", ""), (" ", ""), ("broker.lan", "broker.lan"), ("::1", "::1")])
def test_hosts(written: str, host: str) -> None:
    assert MqttConfig(host=written).host == host


@pytest.mark.parametrize(
    "values",
    [
        {"host": "mqtt://broker"},
        {"host": "me:secret@broker"},
        {"host": "broker:1883"},
        {"host": "broker", "port": 0},
        {"host": "broker", "password_file": "/etc/password"},
        {"host": "broker", "password": "secret"},
        {"host": "broker", "name": ""},
        {"discovery_prefix": ""},
        {"discovery_prefix": "home/+"},
        {"discovery_prefix": "home\ud800"},
        {"discovery_prefix": "home\n"},
        {"discovery_prefix": "h" * 201},
        {"discovery_prefix": "home/"},
    ],
)
def test_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MqttConfig(**values)
