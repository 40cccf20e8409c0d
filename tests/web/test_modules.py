"""The page's modules that need no browser, in node: how numbers are shown, and verdicts on proofs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.proof import make_proof, verify_proof
from solominer.web.app import STATIC
from tests.chain.test_proof import GENESIS_COINBASE, HEADERS, proof_of, whole_block_proof

JS = Path(__file__).parent / "js"

LIES: list[dict[str, Any]] = [
    {"hash": "00" * 32},
    {"network": "mainnet"},
    {"network": "moon"},
    {"schema": "other/1"},
    {"height": 262},
    {"target_hex": "00" * 31 + "01"},
    {"expected_hashes": "3"},
    {"witness_root_hex": "11" * 32},
    {"merkle_branch_hex": []},
    {"merkle_branch_hex": [5]},
    {"kind": "share", "share_target_hex": "00" * 31 + "01"},
    {"kind": "rumour"},
    {"coinbase_hex": "00"},
    {"header_hex": "00" * 79},
    {"header_hex": None},
    {"template": {"reward_sats": 1}},
]

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs node")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The modules and their tests as one package of ES modules."""
    shutil.copytree(STATIC, tmp_path / "static")
    shutil.copytree(JS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


def test_numbers_and_times(folder: Path) -> None:
    done = subprocess.run(["node", "--test", "format.test.js"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"pass (\d+)", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 40


def verdicts(folder: Path, proofs: list[dict[str, Any]]) -> list[dict[str, list[str]]]:
    """The page's findings on each proof."""
    done = subprocess.run(
        ["node", "verify.js"], cwd=folder, input=json.dumps(proofs), capture_output=True, text=True, check=True
    )
    found: list[dict[str, list[str]]] = json.loads(done.stdout)
    return found


def test_proofs_of_real_blocks_hold(folder: Path) -> None:
    header = bytes.fromhex(HEADERS[0]["header_hex"])
    genesis = make_proof(
        kind="block",
        network="mainnet",
        height=0,
        header=header,
        coinbase=bytes.fromhex(GENESIS_COINBASE),
        merkle_branch=[],
    )
    proofs = [genesis, whole_block_proof(), *map(proof_of, HEADERS)]
    found = verdicts(folder, proofs)
    assert [each["wrong"] for each in found] == [[] for _ in proofs]
    checked = " / ".join(found[1]["checked"])
    for what in (
        "hashes to the block's hash",
        "network's target",
        "Merkle root",
        "height 261",
        "witness root",
        "satoshis",
    ):
        assert what in checked


def test_the_page_finds_each_lie_that_the_program_finds(folder: Path) -> None:
    lies = [{**whole_block_proof(), **lie} for lie in LIES]
    assert not any(verify_proof(lie).holds for lie in lies)
    found = verdicts(folder, lies)
    assert [lie for lie, findings in zip(LIES, found, strict=True) if not findings["wrong"]] == []


def test_a_browser_without_web_crypto_says_so(folder: Path) -> None:
    code = (
        "Object.defineProperty(globalThis, 'crypto', {value: {}});"
        "const {verifyProof} = await import('./static/js/verify.js');"
        "console.log(JSON.stringify(await verifyProof({})))"
    )
    done = subprocess.run(["node", "--input-type=module", "-e", code], cwd=folder, capture_output=True, check=True)
    assert "only on pages over HTTPS" in json.loads(done.stdout)["wrong"][0]
