"""The parameters that a worker reads from its standard input at startup, and its exit code."""

from __future__ import annotations

import os
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

from solominer.errors import EngineError
from solominer.plan.plan import SearchPlan

EXIT_WRONG_HITS, EXIT_OFF = 3, 4
"""Exit codes: the kernel reported too many wrong hits; the device cannot be used, a restart would not help."""

_SIZE = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class DeviceSetup:
    """A device beside the CPU, which one worker drives: the number by which it is listed, and how to use it.

    A launch should last `launch_ms`; above `max_temp_c` (None: no ceiling) the worker pauses.
    """

    index: int
    launch_ms: float
    max_temp_c: float | None = None
    cpus: bool = False


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """A worker's startup parameters.

    `engine` is the module with `load_kernel` and `bench_out`. The worker that `leads` loads `kernel` (None: the
    fastest), compiling it into `cache_dir` if necessary; the others wait for its choice and load the same one. Each
    worker with a `device` leads, as devices differ.
    `shared_fd` and `messages_fd` (write end of the pipe to the main process) are inherited descriptors.
    """

    index: int
    workers: int
    parent_pid: int
    shared_fd: int
    messages_fd: int
    engine: str
    kernel: str | None
    leads: bool
    cache_dir: Path | None
    nice: int
    plan: SearchPlan
    device: DeviceSetup | None = None

    def write(self, fd: int) -> None:
        """Write it to the worker's standard input; it fits an empty pipe, so this never blocks."""
        data = pickle.dumps(self)
        os.write(fd, _SIZE.pack(len(data)) + data)

    @classmethod
    def read(cls, fd: int) -> WorkerSetup:
        """Read what the parent wrote. Raises EngineError if the input ends early or is something else."""
        (size,) = _SIZE.unpack(_read_exactly(fd, _SIZE.size))
        setup = pickle.loads(_read_exactly(fd, size))
        if not isinstance(setup, cls):
            raise EngineError("a worker is started by the daemon, not by hand")
        return setup


def _read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            raise EngineError("the worker's standard input ended early", "workers are started by the daemon")
        data += more
    return data
