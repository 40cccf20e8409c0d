"""`solominer plan`: a sound plan passes and is shown, a broken one refused with its group, proofs are walked again."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from solominer.cli import app
from solominer.errors import ConfigError, PlanError, RecordsError, VerifyError
from solominer.plan.plan import SearchPlan
from solominer.views.plan import COLUMNS, ROWS, picture
from tests.records.test_plan_proof import block_proof, plan_of

EXAMPLE = Path(__file__).parents[2] / "plan.yaml.example"


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, args)])


def test_check_says_every_mode_of_a_sound_plan() -> None:
    done = run("check", EXAMPLE)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0] == f"main     {SearchPlan().hash_hex[:16]}  16,384 chunks, order sequential"
    assert lines[2].endswith("65,536 chunks, order shuffled")
    assert lines[-1] == "every check passed"
    told = json.loads(run("check", EXAMPLE, "--json").output)
    assert told["demo"]["strides"]["order"] == "van-der-corput"
    assert set(told) == {"main", "demo", "test", "staging"}


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("families: {main: {extranonce_bits: 40}}", "families"),
        ("lanes: {main: {chunk_nonces: 5}}", "lanes"),
        ("lanes: {main: {lanes: 16}}", "lanes"),
        ("strides: {main: {order: knuth, multiplier: 2}}", "strides"),
        ("palette: {main: {bits: [13, 13]}}", "palette"),
        ("sandbox: {main: {mainnet: {}}}", "sandbox"),
    ],
)
def test_check_refuses_a_broken_plan_with_its_group(tmp_path: Path, text: str, group: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    done = run("check", path, "--kernel", "scalar")
    assert isinstance(done.exception, PlanError)
    assert done.exception.group == group
    assert done.exception.exit_code == 2


def test_show_tells_parameters_and_draws_the_order(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("strides: {main: {order: knuth}}")
    done = run("show", path)
    assert done.exit_code == 0
    assert "derived" in done.output
    assert "its first 120 steps:" in done.output
    told = json.loads(run("show", path, "--json").output)
    assert told["strides"]["order"] == "knuth"
    origins = {row["parameter"]: row["origin"] for row in told["described"]}
    assert (origins["multiplier"], origins["order"], origins["midstates"]) == ("derived", "given", "auto")
    assert json.loads(run("show", "--json").output)["hash"] == SearchPlan().hash_hex


def test_show_plots_into_files(tmp_path: Path) -> None:
    assert run("show", "--plot", tmp_path / "order.svg").exit_code == 0
    assert ET.parse(tmp_path / "order.svg").getroot().tag.endswith("svg")
    assert run("show", "--plot", tmp_path / "order.png").exit_code == 0
    assert (tmp_path / "order.png").read_bytes().startswith(b"\x89PNG")
    assert isinstance(run("show", "--plot", tmp_path / "order.bmp").exception, ConfigError)
    assert isinstance(run("show", "--plot", tmp_path / "no" / "order.svg").exception, ConfigError)


def test_the_picture_has_a_dot_for_each_point() -> None:
    rising = picture([(i, i) for i in range(2 * COLUMNS)], 2 * COLUMNS)
    rows = [line[9:] for line in rising.splitlines()]
    assert len(rows) == ROWS
    assert {len(row) for row in rows} == {COLUMNS}
    dots = [bin(ord(cell) - 0x2800).count("1") for row in rows for cell in row]
    assert sum(dots) == 2 * COLUMNS
    assert rows[-1][0] != "\u2800" != rows[0][-1]
    assert rows[0][0] == "\u2800" == rows[-1][-1]


def test_replay_walks_to_the_claimed_position(tmp_path: Path) -> None:
    rng = random.Random(5)
    paths = []
    for number, order in enumerate(("knuth", "shuffled")):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(block_proof(plan_of(order), rng)))
        paths.append(path)
    done = run("replay", *paths)
    assert done.exit_code == 0
    assert "2 position(s) recomputed" in done.output
    told = json.loads(run("replay", *paths, "--json").output)
    assert [one["plan_hash_hex"] for one in told] == [plan_of("knuth").hash_hex, plan_of("shuffled").hash_hex]


def test_replay_refuses_what_does_not_hold(tmp_path: Path) -> None:
    proof = block_proof(plan_of("strided"), random.Random(6))
    path = tmp_path / "proof.json"
    plan = tmp_path / "plan.yaml"
    plan.write_text("strides: {main: {order: knuth}}")

    def refused(document: object, *args: object) -> str:
        path.write_text(json.dumps(document))
        error = run("replay", path, *args).exception
        assert isinstance(error, VerifyError)
        return error.what

    moved = {**proof["plan"], "position": {**proof["plan"]["position"], "step": 0}}
    assert "the plan tries" in refused({**proof, "plan": moved})
    without = {key: value for key, value in proof["plan"].items() if key != "facts"}
    assert "does not contain its plan" in refused({**proof, "plan": without})
    assert "names plan" in refused(proof, "--plan", plan)
    assert "is invalid: " in refused({**proof, "hash": "00" * 32})
    assert "is not a proof" in refused([])
    assert isinstance(run("replay", tmp_path / "none.json").exception, RecordsError)


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("families: {main: {engines: [gpu]}}", "families"),
        ("lanes: {main: {midstates: 64}}", "lanes"),
        ("strides: {main: {order: strided, stride: 0}}", "strides"),
        ("palette: {main: {bits: [29]}}", "palette"),
        ("sandbox: {main: {staging: {strides: {order: none}}}}", "sandbox"),
    ],
)
def test_the_miner_does_not_start_by_a_broken_plan(tmp_path: Path, text: str, group: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    config = tmp_path / "config.json"
    values = {"mode": "regtest", "plan": str(tmp_path / "plan.yaml"), "data_dir": str(tmp_path / "data")}
    config.write_text(json.dumps(values))
    done = CliRunner().invoke(app, ["run", "--plain", "--config", str(config)])
    assert isinstance(done.exception, PlanError)
    assert done.exception.group == group
    assert not (tmp_path / "data").exists(), "nothing was begun"
