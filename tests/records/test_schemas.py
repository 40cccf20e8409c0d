"""Every JSON file that the records write keeps the schema that docs/schemas/ publishes for it, and says which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from solominer.records.report.period import period_report
from solominer.records.settings import DAY_SECS
from tests.chain.test_proof import HEADERS, proof_of, whole_block_proof
from tests.records.builders import HOUR, Bench, mine

SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text())
    for path in (Path(__file__).parents[2] / "docs" / "schemas").glob("*.schema.json")
}


def check(value: Any, schema: str | None = None) -> str:
    """Validate a document against the schema that it names; the schema's name."""
    name = schema or value["schema"].removeprefix("solominer-").partition("/")[0]
    jsonschema.validate(value, SCHEMAS[name], cls=jsonschema.Draft202012Validator)
    return str(name)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A day with an hour that has everything, one that is empty, and a next day."""
    bench = Bench(tmp_path_factory.mktemp("schemas") / "data")
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    mine(bench, recorder, HOUR + 1)
    recorder.record(HOUR + 2, "control", {"what": "pause", "by": "solominer pause", "ok": True, "result": "paused"})
    recorder.tick(HOUR + 3600)
    recorder.tick(HOUR + 7200)
    recorder.close(HOUR + 7300)
    recorder = bench.recorder()
    recorder.open(HOUR + DAY_SECS)
    recorder.close(HOUR + DAY_SECS + 1)
    return bench


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_schemas_are_schemas(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_json_file_of_the_tree_keeps_its_schema(bench: Bench) -> None:
    files = [path for path in bench.root.rglob("*.json") if path.name != "state.json" and "latest" not in path.parts]
    seen = {check(json.loads(path.read_text())) for path in files}
    assert seen == {"report", "proof", "best-hashes", "errors", "rollup", "found-block"}


def test_every_line_of_the_ledger_keeps_its_schema(bench: Bench) -> None:
    lines = [line for path in bench.root.rglob("ledger.jsonl") for line in path.read_text().splitlines()]
    kinds = set()
    for line in lines:
        check(json.loads(line), "ledger")
        kinds.add(json.loads(line)["kind"])
    assert {"open", "begin", "work", "share", "counters", "latency", "error", "control"} <= kinds
    assert {"block_found", "block_state"} <= kinds


def test_proofs_of_real_blocks_and_periods_keep_theirs(bench: Bench) -> None:
    for vector in HEADERS:
        check(proof_of(vector))
    check(whole_block_proof())
    check(period_report(bench.recorder().tree, "regtest", "2026"))
