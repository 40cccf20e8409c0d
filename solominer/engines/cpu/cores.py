"""How many workers have a core each: the cores this process may run on, less what a control group takes away."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cores(own_cgroup: Path = _OWN_CGROUP, cgroups: Path = _CGROUPS) -> int:
    """At least 1. A quota (systemd's CPUQuota=, a container's CPU limit) of 2.5 cores is 2: workers that share a core
    stop each other for whole scheduling periods, and a stopped worker cannot leave old work."""
    cores = len(psutil.Process().cpu_affinity() or ()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    return max(1, min([cores or 1, *_quotas(own_cgroup, cgroups)]))


def _quotas(own_cgroup: Path, cgroups: Path) -> list[int]:
    """Whole cores of each quota from our control group up to the root (version 2, `cpu.max`)."""
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
