"""Blocks mined on a real node by plans of every order: each one's position is recomputed from its plan, three ways.

Targets on regtest are so easy that every walk would end at its first chunk. So the workers are given a harder one, and
find their blocks a hundred chunks along.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from solominer.cli import app
from solominer.engines.pool.pool import WorkerPool
from solominer.errors import VerifyError
from solominer.node.private.node import PrivateNode
from solominer.plan.parse import USES
from solominer.records.evidence.verify import verify
from solominer.work.job import Job
from tests.e2e.harness import RunningMiner, config_for
from tests.records.standalone import standalone

pytestmark = [pytest.mark.e2e]

BLOCKS_AN_ORDER = 11
HARDER = 1 << 236
PLAN = {
    "lanes": {"main": {"chunk_nonces": 1024}},
    "palette": {"main": {"bits": [20, 13], "order": "gray"}},
    "families": {"main": {"deal": "blocks"}},
}


def harder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the workers a target that takes a million hashes."""
    publish = WorkerPool.publish

    def publishing(pool: WorkerPool, job: Job, **options: Any) -> None:
        job = replace(job, template=replace(job.template, target=HARDER), share_target=HARDER)
        publish(pool, job, **options)

    monkeypatch.setattr(WorkerPool, "publish", publishing)


def replayed(*paths: Path) -> Any:
    """What `solominer plan replay` says of proofs, or the error it ends with."""
    done = CliRunner().invoke(app, ["plan", "replay", "--json", *map(str, paths)])
    return json.loads(done.output) if done.exit_code == 0 else done.exception


async def test_positions_of_real_blocks_are_recomputed(
    module_node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harder(monkeypatch)
    proofs: list[Path] = []
    for order in sorted(USES):
        plan = tmp_path / f"{order}.yaml"
        plan.write_text(yaml.safe_dump({**PLAN, "strides": {"main": {"order": order}}}))
        data = tmp_path / order
        config = config_for(module_node, data, plan=str(plan), cpu_cores_reserved=0)
        with monkeypatch.context() as patches:
            async with RunningMiner(patches, config) as miner:
                miner.allow(0)
                await miner.mine(BLOCKS_AN_ORDER)
        tree = verify(data)
        assert tree.holds, "\n".join(tree.lines())
        assert standalone(data).holds
        found = sorted(data.glob("*/proofs/*/*/*/*/*-*.json"))
        found = [path for path in found if path.name[0].isdigit()]
        assert len(found) >= BLOCKS_AN_ORDER, "each block has a proof (two workers may have found one each)"
        told = replayed(*found)
        assert {one["plan_hash_hex"] for one in told} == {json.loads(found[0].read_text())["plan"]["plan_hash_hex"]}
        assert max(one["position"]["step"] for one in told) > 20, "they lie well along the walk"
        proofs += found
    assert len(proofs) >= 50
    assert len({json.loads(path.read_text())["plan"]["plan_hash_hex"] for path in proofs}) == len(USES)

    changed = tmp_path / "changed.json"
    for number, path in enumerate(proofs):
        spoilt = json.loads(path.read_text())
        place = list(spoilt["plan"]["position"])[number % 4]
        spoilt["plan"]["position"][place] ^= 1
        changed.write_text(json.dumps(spoilt))
        assert isinstance(replayed(changed), VerifyError)
        assert not verify(changed).holds
        assert not standalone(changed).holds
