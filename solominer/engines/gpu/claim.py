"""The claim on a card: two miners on one card would halve each other's speed, and neither would say why."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from solominer.engines.gpu.kernel import Device
from solominer.errors import EngineError


def claim(device: Device, cache_dir: Path | None) -> int | None:
    """Claim the card for this process as long as it lives; returns the descriptor that holds the claim.

    Only among miners that share `cache_dir`; None without one. Raises EngineError if another has it.
    """
    if cache_dir is None:
        return None
    path = cache_dir / f"gpu-{device.bus or device.index}.lock".replace(":", "-")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # the cache cannot be written: a matter of speed only
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(fd, 20).decode(errors="replace").strip() or "?"
        os.close(fd)
        raise EngineError(
            f"{device.name} is used by another miner (process {owner})", "stop it, or leave the card to it: gpu.devices"
        ) from None
    os.truncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())
    return fd
