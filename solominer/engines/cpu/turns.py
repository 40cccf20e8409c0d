"""How a worker shares its core with other processes."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

SHORT_NS = 100_000
"""The shortest that Linux grants."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
_KEEP_POLICY = 0x08


def ask_for_short_turns() -> None:
    """Have Linux (6.12 and newer) plan this thread's turns on a core as short ones; elsewhere this does nothing.

    It stays as long on a core in sum: a process that yields gives up the rest of its turn, which is little then.
    struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period (sched_setattr(2)).
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = struct.pack("=IIQiIQQQ", 48, 0, _KEEP_POLICY, nice, 0, SHORT_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attributes, 0)
