"""What doctor, the settings and `solominer gpu list` say of graphics cards, on fake ones."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from solominer.cli import app
from solominer.config.load import load_config, unused_settings
from solominer.config.models import Config
from solominer.doctor import gpu_checks
from solominer.doctor.gpu_checks import examine_gpus
from solominer.engines.gpu import listing
from solominer.errors import ConfigError

FAKE = "tests.engines.gpu.fake_kernel"


@pytest.fixture(autouse=True)
def fake_cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOLOMINER_CACHE", str(tmp_path))
    fake = partial(listing.list_cards, engine=FAKE)
    monkeypatch.setattr(gpu_checks, "list_cards", fake)
    monkeypatch.setattr(listing, "list_cards", fake)


def config(**gpu: Any) -> Config:
    return load_config(overrides={"mode": "demo", "gpu": gpu}, environ={})


def told(**gpu: Any) -> list[tuple[str, str]]:
    return [(finding.status.value, finding.evidence) for finding in examine_gpus(config(**gpu))]


def test_nothing_is_examined_that_is_not_used() -> None:
    assert told() == []


def test_the_cards_of_the_configuration_are_looked_up() -> None:
    assert told(devices="all") == [
        ("ok", "0 Big card (Fake 1.0), 1 Small card (Fake 1.0)"),
        ("ok", "gpu/0, gpu/1"),
        ("ok", "no temperature can be read; none is required"),
    ]
    assert told(devices=[1, 4], max_temperature_c=80)[1:] == [
        ("warning", "there is no GPU 4; found: 0 (Big card), 1 (Small card)"),
        ("warning", "max_temperature_c has no effect on Small card: no temperature can be read"),
    ]
    assert told(devices=4)[1][0] == "failed"


def test_a_missing_package_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_DEVICES", "package")
    assert [status for status, _ in told(devices="all")] == ["failed", "skipped", "skipped"]


def test_the_list_is_for_people_and_programs() -> None:
    shown = CliRunner().invoke(app, ["gpu", "list", "--cpu-devices"])
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["0", "1", "2"]
    assert "Big card  24.0 GiB  -  Fake 1.0  (opencl; kernel: fake)" in shown.stdout
    assert "kernel: not chosen yet" in shown.stdout
    cards = json.loads(CliRunner().invoke(app, ["gpu", "list", "--json"]).stdout)
    assert [(card["index"], card["kind"], card["temperature_c"]) for card in cards] == [
        (0, "gpu", None),
        (1, "gpu", None),
    ]


@pytest.mark.parametrize(
    ("value", "numbers"), [("none", None), ("ALL", None), ("0,2", (0, 2)), ("[1]", (1,)), (3, (3,)), ([0, "1"], (0, 1))]
)
def test_devices_as_people_write_them(value: Any, numbers: tuple[int, ...] | None) -> None:
    gpu = config(devices=value).gpu
    assert gpu.numbers == numbers
    assert gpu.is_on is (value != "none")


@pytest.mark.parametrize(
    ("value", "reason"),
    [("first", "must be none, all, or numbers"), ("0,0", "twice"), (-1, "greater"), ([[]], "numbers")],
)
def test_devices_that_are_none(value: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"gpu.devices: .*{reason}"):
        config(devices=value)


def test_gpus_may_mine_alone_and_nobody_may_not() -> None:
    assert load_config(overrides={"cpu_workers": 0, "gpu.devices": "all"}, environ={}).gpu.is_on
    with pytest.raises(ConfigError, match="nothing would mine"):
        load_config(overrides={"cpu_workers": 0}, environ={})


def test_settings_of_cards_that_are_not_used_are_told() -> None:
    assert "gpu.launch_ms has no effect without devices" in unused_settings(config(launch_ms="50ms"))
    assert not unused_settings(config(launch_ms=50, devices="all"))


def test_bench_of_cards_takes_no_plot() -> None:
    assert CliRunner().invoke(app, ["bench", "--gpu", "--plot", "x.svg"]).exit_code == 2
