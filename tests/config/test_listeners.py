"""Stratum listeners in config.json: the forms that people write, and what is refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon.parts import stratum_of
from solominer.engines.stratum.channel import ListenerSetup, ServerLimits
from solominer.errors import ConfigError
from solominer.records.recorder import Recorder


def config_of(stratum: Any, **values: Any) -> Config:
    return load_config(overrides={"mode": "regtest", "stratum": stratum, **values}, environ={})


@pytest.mark.parametrize(
    ("written", "place"),
    [
        (3334, ("0.0.0.0", 3334, "")),
        ("10.0.0.5", ("10.0.0.5", 3333, "")),
        (":4000", ("0.0.0.0", 4000, "")),
        ("[::]:3333", ("::", 3333, "")),
        ("stratum+tcp://miner.lan:3333/", ("miner.lan", 3333, "")),
        ("unix:/run/s.sock", ("", 0, "/run/s.sock")),
        ({"listen": "127.0.0.1:1"}, ("127.0.0.1", 1, "")),
    ],
)
def test_forms_of_a_listener(written: Any, place: tuple[str, int, str]) -> None:
    (listener,) = config_of(written).stratum
    assert listener.place == place


@pytest.mark.parametrize(
    ("listener", "says"),
    [
        ({"tls_key": "/k.pem"}, "tls_key needs tls_certificate"),
        ({"tls_certificate": "/c.pem", "proxies": ["10.0.0.1"]}, "leave TLS to them"),
        ({"proxies": ["my-proxy"]}, "write IP addresses"),
        ({"least_difficulty": 8, "most_difficulty": 4}, "most_difficulty is below"),
        ({"least_difficulty": 8, "start_difficulty": 4}, "start_difficulty is below"),
        ({"listen": "user@host:1"}, "without a login"),
        ({"payout": "everybody"}, "payout"),
        ({"v2": "yes"}, "v2"),
        ({"v2": "only", "tls_certificate": "/c.pem"}, "encrypts by itself"),
    ],
)
def test_what_is_refused(listener: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_of([listener])


def test_two_listeners_at_one_address() -> None:
    with pytest.raises(ConfigError, match="two listeners have the same address"):
        config_of(["0.0.0.0:3333", 3333])


@pytest.mark.parametrize("limits", [{"connections": 0}, {"connections_per_address": 0}, {"conections": 5}])
def test_limits_that_are_none(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="stratum_limits"):
        config_of(3333, stratum_limits=limits)


@pytest.mark.parametrize("processes", [0, 17, "many", 1.5])
def test_numbers_of_processes_that_are_none(processes: object) -> None:
    with pytest.raises(ConfigError, match="stratum_processes"):
        config_of(3333, stratum_processes=processes)


def test_what_the_server_gets(tmp_path: Path) -> None:
    config = config_of(
        {"listen": "127.0.0.1:3333", "payout": "miner", "start_difficulty": "64k", "proxies": ["10.0.0.1"]},
        stratum_limits={"connections": 50, "connections_per_address": 5},
        stratum_processes=3,
        data_dir=str(tmp_path),
    )

    async def ask(address: str) -> Any:
        raise AssertionError(address)

    recorder = create_autospec(Recorder)
    engine = stratum_of(config, recorder, ask)
    assert engine is not None
    assert engine.settings.limits == ServerLimits(50, 5)
    assert engine.settings.processes == 3
    assert engine.settings.listeners == (
        ListenerSetup(
            "127.0.0.1", 3333, pay_to="miner", start_difficulty=64_000.0, fractional=True, proxies=("10.0.0.1",)
        ),
    )
    assert stratum_of(config_of([]), recorder, ask) is None
