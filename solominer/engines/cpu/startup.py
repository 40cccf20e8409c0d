"""What a worker is told at its start, through its standard input; and what its exit code tells back."""

from __future__ import annotations

import os
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

from solominer.errors import EngineError
from solominer.plan.plan import SearchPlan

EXIT_WRONG_HITS = 3
"""Exit code of a worker whose kernel named too many hits that were none."""

_SIZE = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker process is started with; it never changes.

    `engine` is the module with `load_kernel`, `midstate` and `bench_out`. The worker that `leads` loads `kernel`
    (None: the best one), compiling it into `cache_dir` if need be; the others wait for its choice and load the same.
    The descriptors are inherited: the shared memory, and the write end of the worker's pipe to the main process.
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

    def write(self, fd: int) -> None:
        """Put it into the worker's standard input; small enough for an empty pipe, so it never waits."""
        data = pickle.dumps(self)
        os.write(fd, _SIZE.pack(len(data)) + data)

    @classmethod
    def read(cls, fd: int) -> WorkerSetup:
        """The setup that the parent wrote. Raises EngineError if it is gone, or wrote something else."""
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
