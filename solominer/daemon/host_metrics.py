"""Clocks, and metrics of the machine and of this process."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import psutil

from solominer.governor.throttle import Sensors
from solominer.work.instant import Instant

_IMPORTED_AT = time.monotonic()


def now() -> Instant:
    """The current time of the wall clock and the monotonic clock."""
    return Instant(time.time(), time.monotonic())


def age_secs() -> float:
    """Seconds since this process started, more precise than psutil's whole seconds."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):  # not Linux, or no file descriptor is free
        return time.monotonic() - _IMPORTED_AT


def machine() -> dict[str, Any] | None:
    """CPU use (%), memory of this process and its workers (bytes), temperature (°C or None), load average.

    None if they cannot be read, as without a free file descriptor.
    """
    try:
        us = psutil.Process()
        memory = us.memory_info().rss
        for child in us.children():
            with contextlib.suppress(psutil.Error):
                memory += child.memory_info().rss
        return {
            "cpu_percent": psutil.cpu_percent(None),
            "memory_bytes": memory,
            "temperature_c": Sensors().temperature_c(),
            "load": psutil.getloadavg()[0],
        }
    except (psutil.Error, OSError):
        return None
