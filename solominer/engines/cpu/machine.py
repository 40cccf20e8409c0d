"""The dependencies of compiled kernels (CPU, features, compilers, our source), and the number of usable cores."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil

_SOURCES = (
    *(f"cpu/{name}.py" for name in ("llvm_words", "looped", "sha_instructions", "unrolled", "variants", "jit")),
    *(f"sha256/{name}.py" for name in ("words", "sha256d")),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine. `features`: LLVM's names; `tools`: versions of Numba, llvmlite and Python (Numba's cache files
    belong to one Python version); `source`: SHA-256 of the kernels' source."""

    cpu: str
    features: frozenset[str]
    tools: str
    source: str

    @property
    def key(self) -> str:
        """A folder name; equal if and only if machines can share compiled code."""
        text = "\n".join([self.cpu, ",".join(sorted(self.features)), self.tools, self.source])
        return f"{self.cpu}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@cache
def this_machine() -> Machine:
    """The machine as Numba sees it: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES override the CPU's values."""
    from llvmlite import binding

    cpu = os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name()
    asked = os.environ.get("NUMBA_CPU_FEATURES")
    features = asked if asked is not None else binding.get_host_cpu_features().flatten()
    on = frozenset(item[1:] for item in features.split(",") if item.startswith("+"))
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    tools = f"numba {version('numba')}, llvmlite {version('llvmlite')}, {python}"
    engines = Path(__file__).parents[1]
    source = hashlib.sha256(b"".join((engines / name).read_bytes() for name in _SOURCES)).hexdigest()
    return Machine(cpu, on, tools, source)


_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cores(own_cgroup: Path = _OWN_CGROUP, cgroups: Path = _CGROUPS) -> int:
    """The cores that this process may use (affinity, CPU quotas of control groups), at least 1.

    A quota of 2.5 cores (systemd's CPUQuota=, a container's CPU limit) counts as 2: workers that share a core suspend
    each other for whole scheduling periods, and a suspended worker cannot leave stale work.
    """
    cores = len(psutil.Process().cpu_affinity() or ()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    return max(1, min([cores or 1, *_quotas(own_cgroup, cgroups)]))


def _quotas(own_cgroup: Path, cgroups: Path) -> list[int]:
    """The quotas, in whole cores, from our control group up to the root (cgroup v2, `cpu.max`)."""
    try:
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        return []
    path = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if path is None:
        return []
    folder = cgroups / path
    quotas = []
    for level in (folder, *folder.parents):
        if not level.is_relative_to(cgroups):
            break
        try:
            quota, period = (level / "cpu.max").read_text().split()
            if quota != "max":
                quotas.append(int(quota) // int(period))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return quotas
