"""What this machine's compiled code depends on: CPU, features, compiler versions, and our own source."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

_SOURCES = ("llvm_words", "sha256d", "looped", "sha_instructions", "unrolled", "variants", "jit")


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine. `features` are LLVM's names; `tools` the versions of what compiles; `source` our digest.

    Python belongs to the tools: Numba's cache files of one Python version mean nothing to another.
    """

    cpu: str
    features: frozenset[str]
    tools: str
    source: str

    @property
    def key(self) -> str:
        """A folder name, the same on machines that can share compiled code and on no others."""
        text = "\n".join([self.cpu, ",".join(sorted(self.features)), self.tools, self.source])
        return f"{self.cpu}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@cache
def this_machine() -> Machine:
    """The machine as Numba will see it: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES override what the CPU says."""
    from llvmlite import binding

    cpu = os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name()
    asked = os.environ.get("NUMBA_CPU_FEATURES")
    features = asked if asked is not None else binding.get_host_cpu_features().flatten()
    on = frozenset(item[1:] for item in features.split(",") if item.startswith("+"))
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    tools = f"numba {version('numba')}, llvmlite {version('llvmlite')}, {python}"
    folder = Path(__file__).parent
    source = hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in _SOURCES)).hexdigest()
    return Machine(cpu, on, tools, source)
