"""docs/architecture.md describes the code as it is: its rooms are the folders, its floors the contract's."""

from __future__ import annotations

import re
import tomllib

from scripts.docsref import REPO

TEXT = (REPO / "docs/architecture.md").read_text()


def test_its_rooms_are_the_folders() -> None:
    rooms = set(re.findall(r"^\| `(\w+)/` \|", TEXT, re.M))
    assert rooms == {init.parent.name for init in (REPO / "solominer").glob("*/__init__.py")}


def test_its_floors_are_the_contract() -> None:
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert f"`{' > '.join(layers)}`" in TEXT


def test_every_path_it_names_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)+[\w.]*)`", TEXT))
    inside = {"journal/", "ledger/", "report/", "evidence/", "events/"}
    places = ("", "solominer", "solominer/records")
    assert len(named) > 20
    assert {name for name in named - inside if not any((REPO / place / name).exists() for place in places)} == {"cpu/3"}
