"""What docs/evidence.md tells a sceptic to type does what it says: every command and every line of Python in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from solominer.insight.estimate import from_order_statistic
from solominer.records.settings import RecorderSettings
from tests.records.builders import HOUR, Bench, mine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evidence.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    line[2:]
    for language, block in BLOCKS
    if language == "console"
    for line in block.splitlines()
    if not line.startswith("$ bitcoin-cli")  # asks a node about a block; nothing here can answer it
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hours that the page speaks of, 07 and 08 of 2026-11-21, signed."""
    folder = tmp_path_factory.mktemp("page")
    bench = Bench(folder / "data", RecorderSettings(signing_key=folder / "key.pem"))
    recorder = bench.recorder()
    recorder.open(HOUR + 1)
    mine(bench, recorder, HOUR + 1, shares=40)
    recorder.tick(HOUR + 3600)
    recorder.close(HOUR + 3700)
    return bench.root


def test_the_page_has_what_is_tested_here() -> None:
    assert len(COMMANDS) == 9
    assert sum(language == "python" for language, _ in BLOCKS) == 1


@pytest.mark.parametrize(
    "block", [block for language, block in BLOCKS if language == "console" and "bitcoin-cli" not in block]
)
def test_the_commands(tree: Path, tmp_path: Path, block: str) -> None:
    if any(shutil.which(tool) is None for tool in ("sha256sum", "openssl", "python3")):
        pytest.skip("a tool of the page is missing here")
    script = "\n".join(line.removeprefix("$ ") for line in block.splitlines())
    script = script.replace("/tmp/", f"{tmp_path}/").replace("~/.solominer/mainnet", str(tree))
    script = script.replace("scripts/verify.py", str(ROOT / "scripts" / "verify.py"))
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = [line for line in done.stdout.splitlines() if not line.endswith(": OK")]
    hashes = re.findall(r"\b[0-9a-f]{64}\b", "\n".join(printed))
    assert len(set(hashes)) <= 1  # what is printed twice to be compared is the same


def test_the_python(tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code = next(block for language, block in BLOCKS if language == "python")
    names: dict[str, Any] = {}
    monkeypatch.chdir(tree)
    exec(code, names)
    assert capsys.readouterr().out.count("\n") == 16
    document = json.loads((tree / "proofs/2026/11/21/07/best-hashes.json").read_text())
    estimate = from_order_statistic(int(document["hashes"][-1]["hash"], 16), document["k"])
    assert names["tried"] == pytest.approx(estimate.value, rel=0.01)
