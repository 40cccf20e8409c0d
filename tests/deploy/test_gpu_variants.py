"""The variants that let graphics cards through: they open the cards and nothing else, and the default stays closed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from solominer.config.load import load_config
from tests.deploy.manager import REPO
from tests.deploy.test_containers import COMPOSE, documents, tool
from tests.deploy.test_systemd import UNIT, analyze, needs_systemd_analyze, settings

DROP_IN = REPO / "deploy/systemd/gpu.conf"
OVERLAYS = sorted((REPO / "deploy/compose/gpu").glob("*.yaml"))
OPENS = {"PrivateDevices", "DeviceAllow", "SupplementaryGroups", "Environment", "After"}


def lines(path: Path) -> list[tuple[str, str]]:
    pairs = [line.partition("=")[::2] for line in path.read_text().splitlines()]
    return [(key, value) for key, value in pairs if value and not key.startswith("#")]


def test_the_drop_in_opens_cards_alone_and_the_unit_none() -> None:
    assert settings()["PrivateDevices"] == ["yes"]
    assert settings()["DevicePolicy"] == ["closed"]
    assert {"DeviceAllow", "SupplementaryGroups"}.isdisjoint(settings())
    assert {key for key, _ in lines(DROP_IN)} == OPENS
    allowed = [value for key, value in lines(DROP_IN) if key == "DeviceAllow"]
    assert allowed == ["char-drm rw", "char-kfd rw", "char-nvidia* rw"]


@needs_systemd_analyze
@pytest.mark.parametrize(("text", "problems"), [("", 0), ("\nDeviceAllow=gpu\n", 1)])
def test_systemd_understands_the_unit_with_the_drop_in(tmp_path: Path, text: str, problems: int) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/solominer/bin/solominer", "/bin/true"))
    folder = tmp_path / f"{UNIT.name}.d"
    folder.mkdir()
    (folder / "gpu.conf").write_text(DROP_IN.read_text() + text)
    done = analyze("verify", "--man=no", str(copy))
    assert len([line for line in (done.stdout + done.stderr).splitlines() if "solominer" in line]) == problems


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_a_variant_of_the_containers_adds_cards_alone(path: Path) -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)
    assert done.returncode == 0, done.stdout + done.stderr
    (overlay,) = documents(path)
    assert set(overlay["services"]) == {"miner"}
    miner = overlay["services"]["miner"]
    assert set(miner) <= {"build", "environment", "configs", "deploy", "devices", "group_add"}
    assert "gpu" in miner["build"]["args"]["EXTRAS"].split(",")
    own = {name: value for name, value in miner["environment"].items() if name.startswith("SOLOMINER_")}
    assert load_config(environ=own).gpu.devices == "all"
    arguments = {line.split()[1].partition("=")[0] for line in dockerfile_lines() if line.startswith("ARG ")}
    assert set(miner["build"]["args"]) <= arguments


def dockerfile_lines() -> list[str]:
    return (REPO / "Dockerfile").read_text().splitlines()


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_the_containers_themselves_get_no_device(path: Path) -> None:
    text = yaml.safe_dump(documents(path)[0]["services"]["miner"])
    assert not any(word in text for word in ("devices", "gpu", "/dev", "privileged: true"))
