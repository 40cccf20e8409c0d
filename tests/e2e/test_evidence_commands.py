"""verify, report and ledger on the records of a real run: for people, for programs, and on bad input."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from solominer.cli import app
from solominer.config.load import load_config
from solominer.daemon.daemon import Run
from solominer.daemon.every_run import RunOptions
from solominer.errors import SolominerError
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.views.logs import set_up_logging

pytestmark = pytest.mark.e2e

BLOCKS = 3
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data_dir(bitcoind_binary: BitcoindBinary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of three blocks on a private node leaves behind."""
    folder = tmp_path_factory.mktemp("evidence")
    bitcoind = {"bitcoind": bitcoind_binary.argv[0]} if len(bitcoind_binary.argv) == 1 else {}
    config = load_config(overrides={"mode": "regtest", "data_dir": str(folder), **bitcoind}, environ={})
    recent = set_up_logging("info", live_view=False)
    assert asyncio.run(Run(config, RunOptions(blocks=BLOCKS), recent).run()) == 0
    return folder


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if isinstance(result.exception, SolominerError):
        raise result.exception
    return result.exit_code, result.output


def test_both_verifiers_hold_the_run_for_good(data_dir: Path) -> None:
    code, text = run("verify", data_dir / "regtest")
    assert code == 0, text
    assert f"{BLOCKS} block proof(s)" in text
    assert "VERIFIED" in text
    code, text = run("verify", data_dir / "regtest", "--json")
    assert json.loads(text)["holds"] is True
    alone = subprocess.run(
        [sys.executable, "-I", str(ROOT / "scripts/verify.py"), str(data_dir / "regtest")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 0, alone.stdout + alone.stderr


def test_the_tree_is_the_one_that_the_page_shows(data_dir: Path) -> None:
    """Every file of docs/evidence.md is there after a run, and every file of the run is in docs/evidence.md."""
    page = (ROOT / "docs/evidence.md").read_text()
    listing = page.partition("<data_dir>/<network>/\n")[2].partition("```")[0]
    documented: set[str] = set()
    for line in listing.splitlines():
        folder, _, told = line.strip().partition(" ")
        if folder in ("reports/latest", "reports/YYYY/MM/DD/day.json"):
            continue  # a link, and a file that only midnight makes
        inner = "<height>-<hash>/" if told.strip().startswith("<height>-<hash>/:") else ""
        names = re.findall(r"(?:<height>-<hash>)?[\w-]*\.?(?:json\.sha256|jsonl?|txt|hex|log|sig)\b|SHA256SUMS", told)
        documented |= {f"{folder}{inner}{name}" for name in names}
    there = set()
    for path in (data_dir / "regtest").rglob("*"):
        if path.is_file() and "latest" not in path.parts:
            name = re.sub(r"\d{4}/\d\d/\d\d/\d\d", "YYYY/MM/DD/HH", path.relative_to(data_dir / "regtest").as_posix())
            name = re.sub(r"\d+-[0-9a-f]{64}", "<height>-<hash>", name)
            there.add(re.sub(r"\d{4}/\d\d/\d\d/[0-9a-f]{12}-\d+\.", "YYYY/MM/DD/<run>-<number>.", name))
    hours = "YYYY/MM/DD/HH"
    optional = {f"reports/{hours}/report.sig", f"errors/{hours}/errors.json"}
    assert f"logs/{hours}/solominer.log" in documented
    assert documented - there <= optional
    no_evidence = {"hours.txt", "state.json", "index.sqlite", "events/YYYY/MM/DD/<run>-<number>.jsonl.gz"}
    assert there - documented <= no_evidence
    assert all(f"`{name}`" in page for name in no_evidence)
    logs = sorted((data_dir / "regtest/logs").rglob("solominer.log"))
    lines = [line for log in logs for line in log.read_text().splitlines()]
    assert sum("BLOCK FOUND" in line for line in lines) == BLOCKS
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ", line) for line in lines)


def test_a_changed_byte_fails_and_names_the_file(data_dir: Path) -> None:
    victim = next((data_dir / "regtest").rglob("block.hex"))
    whole = victim.read_bytes()
    victim.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    try:
        code, text = run("verify", data_dir / "regtest")
    finally:
        victim.write_bytes(whole)
    assert code == 1
    assert "block.hex" in text


@pytest.mark.parametrize("period", [(), ("--day",), ("--week",), ("--month",), ("--year",), ("all",)])
def test_a_report_of_every_period(data_dir: Path, period: tuple[str, ...], tmp_path: Path) -> None:
    code, text = run("report", *period, "--data-dir", data_dir)
    assert code == 0
    assert f"{BLOCKS} found" in text
    code, text = run("report", *period, "--data-dir", data_dir, "--json")
    assert json.loads(text)
    page = tmp_path / "page.html"
    assert run("report", *period, "--data-dir", data_dir, "--html", page)[0] == 0
    assert "<svg" in page.read_text()


def test_the_ledger_answers(data_dir: Path) -> None:
    code, text = run("ledger", "blocks", "--since", "1h", "--json", "--data-dir", data_dir)
    assert code == 0
    kinds = [json.loads(line)["kind"] for line in text.splitlines()]
    assert kinds.count("block_found") == BLOCKS
    assert len(run("ledger", "shares", "--limit", "2", "--data-dir", data_dir)[1].splitlines()) == 2
    assert run("ledger", "errors", "--data-dir", data_dir) == (0, "")
    code, text = run("ledger", "rebuild", "--data-dir", data_dir)
    assert code == 0
    assert "lines of" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify", "/nonexistent"), "no evidence"),
        (("report", "2026-13-99"), "there is no day 2026-13-99"),
        (("report", "yesterday"), "not a period"),
        (("ledger", "blocks", "--since", "soon"), "is not a time"),
        (("ledger", "blocks", "--network", "mainnet"), "no records in"),
    ],
)
def test_bad_input(data_dir: Path, arguments: tuple[str, ...], words: str) -> None:
    more = () if arguments[0] == "verify" else ("--data-dir", data_dir)
    with pytest.raises(SolominerError, match=words):
        run(*arguments, *more)


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    with pytest.raises(SolominerError, match="there are no records in"):
        run("report", "--data-dir", tmp_path)
