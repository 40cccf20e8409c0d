"""The writer of kernels: what the host computes, what is left to the card, and how many instructions NVIDIA's need.

The counts are those of the table in docs/hashing.md. One architecture is compiled here, all in the nightly run.
"""

from __future__ import annotations

import os
import re
import runpy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding

from solominer.engines.gpu.source import CUDA, OPENCL, write
from solominer.engines.gpu.source_words import Products, SourceWords, Uniform, Varying, compute
from solominer.engines.gpu.variants import VARIANTS
from solominer.engines.sha256.sha256d import IV, big_sigma1, choose, compress
from solominer.engines.sha256.words import Integers

ROOT = Path(__file__).parents[3]
KINDS = ("plain-added", "shared-added", "shared-half", "shared-multiplied", "shared-shifted", "shared-rotated")


def test_what_does_not_vary_is_left_to_the_host_and_computed_as_integers_are() -> None:
    w = SourceWords(Products())
    words = [Uniform(index > 2, "input", ()) for index in range(16)]
    values = [0x9E3779B9 * (index + 1) & 0xFFFFFFFF for index in range(16)]
    state = compress(w, IV, words)
    assert w.lines == []
    inputs = {word: np.array([value, value ^ 1], np.uint32) for word, value in zip(words, values, strict=True)}
    found = compute(state, inputs)
    for column, flip in enumerate((0, 1)):
        expected = compress(Integers(), IV, [value ^ flip for value in values])
        assert [int(word[column]) for word in found] == expected


def test_known_words_are_summed_before_they_meet_others() -> None:
    w = SourceWords(Products())
    uniform, varying = Uniform(True, "input", ()), Varying("nonce")
    assert w.add(0xFFFFFFFF, 2) == 1
    assert w.add(varying, 0) == varying
    w.add(7, varying, uniform, 8)
    assert w.lines == ["const uint v1 = nonce + m0;"]
    assert compute(w.midstate, {uniform: np.array([1], np.uint32)})[0].tolist() == [16]
    assert w.add(varying, 0x80000000, 0x80000000) == varying


@pytest.mark.parametrize(("part", "products"), [(0, 0), (0.5, 10), (1, 20)])
def test_the_part_of_the_additions_that_are_products(part: float, products: int) -> None:
    w = SourceWords(Products(additions=part))
    for _ in range(20):
        w.add(Varying("x"), Varying("y"))
    assert sum(line.endswith("= x * one + y;") for line in w.lines) == products


def test_two_of_a_words_three_rotations_are_products() -> None:
    w = SourceWords(Products(rotations=1))
    big_sigma1(w, Varying("x"))
    text = "\n".join(w.lines)
    assert text.count("MUL_HI(") == 2
    assert text.count("ROTR(") == 1
    assert "MUL_HI(x, (one << 26))" in text  # 32 - 6


def test_a_formula_is_one_statement() -> None:
    w = SourceWords(Products())
    choose(w, Varying("e"), Varying("f"), 5)
    assert w.lines == ["const uint v1 = (0x00000005u ^ (e & (f ^ 0x00000005u)));"]


def test_uniform_words_are_few() -> None:
    """Eight per job and eighteen per midstate: one load each, and no instruction that every nonce would repeat."""
    shared = write(VARIANTS[0], OPENCL)
    assert (len(shared.job), len(shared.midstate)) == (8, 18)
    plain = write(next(info for info in VARIANTS if not info.shared), OPENCL)
    assert (len(plain.job), len(plain.midstate)) == (26, 0)


def test_the_dialects_differ_in_their_first_lines_alone() -> None:
    for info in VARIANTS:
        texts = [write(info, dialect).text.split("const uint nonce = ")[1] for dialect in (OPENCL, CUDA)]
        assert texts[0] == texts[1]


@pytest.fixture(scope="module")
def counter() -> dict[str, Any]:
    """scripts/count-gpu-ops; skips where NVIDIA's compiler is missing."""
    if find_spec("nvidia") is None:
        pytest.skip("NVIDIA's compiler is not installed: pip install .[counts]")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        return runpy.run_path(str(ROOT / "scripts" / "count-gpu-ops"))


def documented() -> dict[tuple[str, int], list[int]]:
    """The counts in docs/hashing.md by kernel and architecture."""
    lines = (ROOT / "docs" / "hashing.md").read_text().splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("| kernel | sm_"))
    architectures = [int(number) for number in re.findall(r"sm_(\d+)", lines[head])]
    found = {}
    for line in lines[head + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip(" *") for cell in line.strip("|").split("|"))
        for architecture, cell in zip(architectures, cells, strict=True):
            found[name, architecture] = [int(figure) for figure in cell.split(" / ")]
    return found


ALL = [(kind, architecture) for architecture in (75, 80, 86, 89, 90, 120) for kind in KINDS]
COUNTED = ALL if os.environ.get("GPU_VARIANTS") == "all" else [("shared-added", 90), ("shared-rotated", 90)]


def test_all_kinds_are_documented() -> None:
    assert set(documented()) == set(ALL)


@pytest.mark.parametrize(("kind", "architecture"), COUNTED)
def test_a_hash_needs_the_instructions_that_the_documents_say(
    counter: dict[str, Any], kind: str, architecture: int
) -> None:
    """Within 2 %, and without a spill."""
    found = counter["count"](next(info for info in VARIANTS if info.name == f"{kind}-128"), architecture)
    assert found.spills == 0
    figures = [found.adders, found.multipliers, found.issued]
    for figure, written in zip(figures, documented()[kind, architecture], strict=True):
        assert figure == pytest.approx(written, rel=0.02, abs=3), found


@pytest.mark.skipif(not hasattr(binding, "create_pass_builder"), reason="this LLVM is older than the counts")
def test_a_hash_needs_the_instructions_of_amds_cards_that_the_documents_say() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        script = runpy.run_path(str(ROOT / "scripts" / "count-amd-ops"))
    text = (ROOT / "docs" / "hashing.md").read_text()
    (cards,) = re.findall(r"\| vector instructions per hash \| (.*) \|", text)
    (counts,) = re.findall(r"\| vector instructions .*\n\|.*\n\| plain .*\n\| shared \| (.*) \|", text)
    documented = dict(zip(cards.split(" | "), map(int, counts.split(" | ")), strict=True))
    for card in documented if os.environ.get("GPU_VARIANTS") == "all" else ["gfx1100"]:
        assert script["count"](card, shared=True).vector == pytest.approx(documented[card], rel=0.02)
