"""A time zone that the system does not know is told, since the C library takes UTC for it without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from solominer.config.load import warnings_about
from solominer.config.models import Config
from solominer.config.time_zone import time_zone_problem
from solominer.doctor.check import Status
from solominer.doctor.machine_checks import machine_checks


@pytest.fixture
def zones(tmp_path: Path) -> str:
    (tmp_path / "zones" / "Europe").mkdir(parents=True)
    (tmp_path / "zones" / "Europe" / "Berlin").write_bytes(b"TZif2")
    return str(tmp_path / "zones")


@pytest.mark.parametrize(
    "name", ["", "UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0330>-3:30", ":Europe/Berlin", "Europe/Berlin"]
)
def test_known_ones(zones: str, name: str) -> None:
    assert time_zone_problem({"TZ": name, "TZDIR": zones}) == ""


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "Europe/berlin", "/no/such/file", "Mars\x1b[31m"])
def test_unknown_ones(zones: str, name: str) -> None:
    problem = time_zone_problem({"TZ": name, "TZDIR": zones})
    assert "does not know: times of day are UTC" in problem
    assert "\x1b" not in problem


def test_a_system_whose_own_zone_is_missing(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    assert time_zone_problem({}, link) == ""
    link.symlink_to("zoneinfo/Mars/Olympus")
    assert "localtime links to a time zone that is missing" in time_zone_problem({}, link)


def test_it_is_told_at_the_start_and_by_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    [check] = [check for check in machine_checks(Config(), None) if check.name == "time zone"]
    monkeypatch.setenv("TZ", "UTC0")
    assert (warnings_about(None, Config()), check.run().status) == ([], Status.OK)
    monkeypatch.setenv("TZ", "Mars/Olympus")
    [told] = warnings_about(None, Config())
    assert "TZ is 'Mars/Olympus'" in told
    assert "Europe/Berlin" in told
    assert check.run().status is Status.WARNING
