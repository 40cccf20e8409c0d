"""The benchmark: every contender is timed in every round, and comes out as a table, as JSON and as a picture."""

from __future__ import annotations

import io
import json
import platform
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from solominer.engines.cpu import bench
from solominer.engines.cpu.bench import chain_clocks_hz, core_clock_hz, product_chain, sum_chain
from solominer.engines.cpu.kernel import midstate
from solominer.engines.cpu.reference import hash_word, tail_words
from solominer.errors import ConfigError, EngineError
from tests.hashing.kernels import CACHE

RESULT = bench.Result(
    "cpu1", "tools", 4e9, 0.1, "fast", (bench.Row("fast", "x", (80e6, 82e6, 81e6)), bench.Row("slow", "y", (1e6,) * 3))
)


def test_times_each_contender_in_each_round() -> None:
    lines: list[str] = []
    result = bench.run(cache_dir=CACHE, rounds=2, round_secs=0.01, names=["scalar"], report=lines.append)
    assert {row.name: len(row.rounds_hps) for row in result.rows} == {"scalar": 2, "hashlib": 2, "numpy": 2}
    assert all(hps > 1000 for row in result.rows for hps in row.rounds_hps)
    assert lines[-1] == "round 2 of 2" or "chosen" in lines[-1]
    assert result.best.name == "scalar"


def test_refuses_unknown_names() -> None:
    with pytest.raises(ConfigError, match="no such kernel"):
        bench.run(cache_dir=CACHE, names=["scalar", "avx9000"])


def test_numpys_hashes_are_right() -> None:
    header = bytes(range(76))
    nonces = np.array([0, 1, 2**32 - 1, 77], np.uint32)
    state, tail = midstate(header[:64]).tolist(), tail_words(header).tolist()
    assert bench.numpy_top_words(state, tail, nonces).tolist() == [
        hash_word(header + int(nonce).to_bytes(4, "little")) for nonce in nonces
    ]


def test_table_and_json_say_the_same() -> None:
    text = io.StringIO()
    bench.render(RESULT, Console(file=text, width=160))
    data = json.loads(bench.to_json(RESULT))
    assert "fast *" in text.getvalue()
    assert "81.00" in text.getvalue()
    assert "49.4" in text.getvalue()
    assert data["rows"][0]["median_hps"] == 81e6
    assert data["rows"][1]["cycles_per_hash"] == 4000


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_draws_a_picture(tmp_path: Path, ending: str, start: bytes) -> None:
    bench.plot(RESULT, tmp_path / f"bench.{ending}")
    assert (tmp_path / f"bench.{ending}").read_bytes().startswith(start)


def test_says_what_is_missing_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"\.svg or \.png"):
        bench.plot(RESULT, tmp_path / "bench.gif")
    with pytest.raises(EngineError, match="cannot write"):
        bench.plot(RESULT, tmp_path / "nowhere" / "bench.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EngineError, match="not installed"):
        bench.plot(RESULT, tmp_path / "bench.png")


def test_marks_kernels_that_are_not_faster_than_the_scalar_one() -> None:
    rows = [("fast", 21e6), ("sha-x86-4", 0.11e6), ("scalar", 4e6), ("hashlib", 1e6), ("numpy", 5e5)]
    result = replace(RESULT, rows=tuple(bench.Row(name, "x", (hps,) * 3) for name, hps in rows))
    text = io.StringIO()
    bench.render(result, Console(file=text, width=160))
    assert [line.split()[1] for line in text.getvalue().splitlines() if "too slow for" in line] == ["sha-x86-4"]
    assert {row["name"]: row["too_slow"] for row in json.loads(bench.to_json(result))["rows"] if row["too_slow"]} == {
        "sha-x86-4": True
    }
    without_scalar = replace(result, rows=tuple(row for row in result.rows if row.name != "scalar"))
    assert [row.name for row in without_scalar.rows if without_scalar.too_slow(row)] == ["sha-x86-4"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other CPUs multiply in another number of cycles")
def test_the_clock_is_the_same_by_additions_and_by_multiplications() -> None:
    """A core that folds the links of a chain appears too fast by that one: 7.48 GHz were read of a 3.74 GHz core."""
    assert any(abs(sums / products - 1) < 0.1 for sums, products in (chain_clocks_hz() for _ in range(20)))
    assert 2e8 < core_clock_hz() < 7e9


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks for instructions of x86")
def test_the_chains_have_no_additions_of_constants() -> None:
    """Intel's cores fold these when registers are renamed; one per turn counts the turns."""
    for chain, wanted in ((sum_chain, "add"), (product_chain, "imul")):
        (code,) = chain.inspect_asm().values()
        assert len(re.findall(rf"^\s+{wanted}l\s+%\w+, %\w+$", code, re.MULTILINE)) >= 64
        assert len(re.findall(r"^\s+(?:add|sub|lea|inc|dec)[lq]?\s+\$", code, re.MULTILINE)) < 8


def test_other_miners_are_read_by_the_script() -> None:
    script = Path(__file__).parents[2] / "scripts" / "bench-miners"
    miner = r"other=printf '1.5 MH/s\n14200 khash/s\n'"
    options = ["--kernel", "scalar", "--rounds", "2", "--secs", "0.05", "--json", "--miner", miner]
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True, check=True)
    rates = json.loads(done.stdout)["rounds_hps"]
    assert rates["other"] == [14.2e6] * 2
    assert {name: len(values) for name, values in rates.items()} == {"scalar": 2, "hashlib": 2, "numpy": 2, "other": 2}
