"""The kernel tests again, as CPUs without AVX-512, without AVX2 and without any vectors of use would see them.

Numba's own settings mask the features; they must stand before Numba is loaded, hence a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif("x86_64" not in binding.get_process_triple(), reason="masks x86 features")
@pytest.mark.parametrize(
    ("masked", "expected", "gone"),
    [(("avx512",), "avx2-2x2", "avx512-3x2"), (("avx512", "avx"), "vector-2x2", "avx2-2x2")],
    ids=["no AVX-512", "no AVX"],
)
def test_kernels_without(masked: tuple[str, ...], expected: str, gone: str) -> None:
    features = binding.get_host_cpu_features()
    text = ",".join(f"{'-' if not on or name.startswith(masked) else '+'}{name}" for name, on in features.items())
    test = Path(__file__).with_name("test_kernel.py")
    folder = f".cache/pytest-{'-'.join(masked)}"
    options = ["-v", f"--basetemp={folder}", "-p", "no:cacheprovider", "-k", "not plain-8x4"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(test), *options],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": text},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert gone not in done.stdout
    if "avx2" not in expected or features.get("avx2"):
        assert f"[{expected}] PASSED" in done.stdout
