"""The choice of a card's kernel: the fastest that works, timed once, timed again when what it rests on has changed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from solominer.config.load import load_config
from solominer.daemon.parts import gpus_of
from solominer.engines.gpu import choose
from solominer.engines.gpu.choose import load_fastest
from solominer.engines.gpu.device import Device
from solominer.errors import ConfigError, EngineError

CARD = Device(0, "card", "driver 1", 1 << 30, "gpu", "opencl")
RATES = {"a-128": 5.0, "a-64": 9.0, "a-256": 4.0, "b-128": 7.0, "b-64": 6.0, "b-256": 8.0}


class Loader:
    """Loads kernels that are only names; those in `broken` do not load."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.loaded: list[str] = []

    def __call__(self, name: str) -> Any:
        if name in self.broken:
            raise EngineError(f"kernel {name} is broken")
        self.loaded.append(name)
        return SimpleNamespace(name=name, close=lambda: None)


@pytest.fixture(autouse=True)
def _rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "measure_hps", lambda kernel, seconds: RATES[kernel.name])


def chosen(load: Loader, cache_dir: Path | None, device: Device = CARD) -> tuple[str, list[str]]:
    """The kernel's name, and what was reported."""
    lines: list[str] = []
    kernel = load_fastest(device, list(RATES), load, cache_dir=cache_dir, report=lines.append)
    return kernel.name, lines


def test_group_sizes_are_tried_for_the_best_kind_alone(tmp_path: Path) -> None:
    load = Loader()
    name, lines = chosen(load, tmp_path)
    assert name == "b-256"
    assert set(load.loaded) == {"a-128", "b-128", "b-64", "b-256"}
    assert "b-256 chosen" in lines[-1]


def test_the_choice_is_remembered_for_the_driver_that_it_was_timed_with(tmp_path: Path) -> None:
    chosen(Loader(), tmp_path)
    load = Loader()
    assert chosen(load, tmp_path) == ("b-256", [])
    assert load.loaded == ["b-256"]
    updated = Device(0, "card", "driver 2", 1 << 30, "gpu", "opencl")
    assert chosen(load, tmp_path, updated)[1] != []


def test_a_remembered_kernel_that_fails_is_replaced(tmp_path: Path) -> None:
    chosen(Loader(), tmp_path)
    name, lines = chosen(Loader("b-256"), tmp_path)
    assert name == "b-128"
    assert "b-256 is broken; choosing another" in lines[0]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"rates_hps": {}, "source": ""}', '{"rates_hps": {"a-64": 1e9}}'])
def test_a_damaged_choice_or_one_of_other_code_is_made_again(tmp_path: Path, damage: str) -> None:
    chosen(Loader(), tmp_path)
    (path,) = tmp_path.rglob(choose.CHOICE)
    path.write_text(damage)
    name, lines = chosen(Loader(), tmp_path)
    assert name == "b-256"
    assert lines
    assert json.loads(path.read_text())["rates_hps"]["b-256"] == 8.0


def test_kernels_that_do_not_work_are_said_and_passed_over() -> None:
    name, lines = chosen(Loader("b-128", "a-64"), None)
    assert name == "a-128"
    assert any("b-128 is broken; not used" in line for line in lines)


def test_no_kernel_that_works_is_an_error() -> None:
    with pytest.raises(EngineError, match="no kernel works on card"):
        chosen(Loader(*RATES), None)


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "kernels").write_text("a file in the way")
    name, lines = chosen(Loader(), tmp_path)
    assert name == "b-256"
    assert "cannot save the choice" in lines[-1]


def test_patience_ends_the_timing_after_the_first_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "PATIENCE_SECS", 0.0)
    load = Loader("a-128")
    assert chosen(load, None)[0] == "b-128"
    assert set(load.loaded) == {"b-128"}


@pytest.mark.parametrize("name", ["shared-added-128", "cuda-plain-added-64", "shared-turbo"])
def test_a_kernel_that_does_not_exist_is_refused_at_the_start(name: str) -> None:
    config = load_config(overrides={"mode": "demo", "gpu": {"devices": "all", "kernel": name}}, environ={})
    if "turbo" not in name:
        assert gpus_of(config) is not None
        return
    with pytest.raises(ConfigError, match="shared-turbo: there is no such kernel"):
        gpus_of(config)
