"""No kernel is right and absurdly slow: each that this CPU can run is faster than the scalar one.

The SHA-extension kernels once ran at a two-hundredth of their rate on Intel: legacy SSE instructions behind AVX code.
"""

from __future__ import annotations

import re

import pytest
from llvmlite import binding

from solominer.engines.cpu import jit
from solominer.engines.cpu.choose import hashlib_hps, measure_hps
from solominer.engines.cpu.machine import this_machine
from solominer.engines.cpu.variants import VARIANTS, Method
from tests.hashing.kernels import NAMES, kernel

ROUNDS = 5
UNIT_VARIANTS = [info.name for info in VARIANTS if info.method is Method.X86_SHA]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "scalar"])
def test_is_faster_than_the_scalar_kernel(name: str) -> None:
    """The best of a few rounds in turn, by CPU time; even the slowest has more than twice the scalar rate."""
    rates = [(measure_hps(kernel(name), 0.02), measure_hps(kernel("scalar"), 0.02)) for _ in range(ROUNDS)]
    assert max(rate for rate, _ in rates) > max(scalar for _, scalar in rates)


def test_the_scalar_kernel_is_faster_than_python() -> None:
    """What a machine's first choice is held to, so that it need not compile the scalar kernel."""
    rates = [(measure_hps(kernel("scalar"), 0.02), hashlib_hps(0.02)) for _ in range(ROUNDS)]
    assert max(rate for rate, _ in rates) > 2 * max(python for _, python in rates)


@pytest.mark.skipif("x86_64" not in binding.get_process_triple(), reason="looks for instructions of x86")
@pytest.mark.parametrize("name", [name for name in UNIT_VARIANTS if name in NAMES])
def test_sha_instructions_run_with_clear_upper_halves(name: str) -> None:
    """Between anything that uses wide registers and the next SHA instruction stands a vzeroupper."""
    if "avx" not in this_machine().features:
        pytest.skip("there are no upper halves")
    number = next(number for number, info in enumerate(VARIANTS) if info.name == name)
    (code,) = jit.make_scan(number).inspect_asm().values()
    events = re.findall(r"^\s+(?:(vzeroupper)|(sha256rnds2)|v\w+\s.*%([yz])mm\d)", code, re.MULTILINE)
    kinds = ["clear" if clear else "sha" if sha else "wide" for clear, sha, _ in events]
    assert "sha" in kinds
    before = ["wide", *kinds]  # whoever calls us may have left the upper halves in use
    for place, kind in enumerate(kinds, 1):
        if kind == "sha":
            last = next(each for each in reversed(before[:place]) if each != "sha")
            assert last == "clear", f"{name}: a SHA instruction behind {last} code"
