"""Kernels that gave wrong hits on a device; they are not chosen again there until its driver or the kernels change."""

from __future__ import annotations

import json
from pathlib import Path

from solominer.engines.gpu.choose import device_folder, source_digest
from solominer.engines.gpu.device import Device
from solominer.engines.private_folder import private_folder
from solominer.records.tree import atomic_write

_FILE = "benched.json"


def benched(device: Device, cache_dir: Path | None) -> frozenset[str]:
    """Their names; none if the file is missing, damaged or of other code."""
    if cache_dir is None:
        return frozenset()
    try:
        data = json.loads((device_folder(cache_dir, device) / _FILE).read_bytes())
        return frozenset(map(str, data["names"])) if data["source"] == source_digest() else frozenset()
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def bench_out(device: Device, name: str, *, cache_dir: Path | None) -> None:
    """Never choose this kernel on such a device again. Raises OSError if that cannot be stored."""
    if cache_dir is None:
        return
    folder = device_folder(cache_dir, device)
    private_folder(folder)
    names = sorted(benched(device, cache_dir) | {name})
    atomic_write(folder / _FILE, json.dumps({"source": source_digest(), "names": names}, indent=1).encode())
