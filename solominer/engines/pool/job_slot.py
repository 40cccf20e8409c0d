"""The memory that the main process and its workers share: one job slot, a few control words, counters per worker.

It is an anonymous file (memfd, or an unlinked temporary file) that workers inherit, so nothing is left behind however
the processes end. All words are 64-bit, aligned and in native byte order, so each is read and written atomically.

The main process writes the control words and the job slot; each worker its own counters, on separate cache lines; the
worker that chooses the kernel writes the kernel's name. A job is protected by a sequence number that is odd while the
slot is being written, and by a checksum, because some CPUs make stores visible out of order.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass, fields
from enum import IntEnum
from zlib import crc32

from solominer.errors import EngineError

_WORD = 8
_EPOCH, _PUBLISHED_NS, _ACTIVE, _QUIT, _SEQUENCE, _LENGTH, _CHECKSUM, _KERNEL, CHANGES, _DUTY = range(10)
_DUTY_WHOLE = 1_000_000

_NAME_AT = 128
_NAME_SIZE = 64
_COUNTERS_AT = 192
_COUNTERS_SIZE = 256
SLOT_SIZE = 1 << 16


class WorkerState(IntEnum):
    """The state of a worker."""

    STARTING = 0  # imports, compiles or waits for another to compile
    IDLE = 1  # has no job
    HASHING = 2
    PAUSED = 3  # has a job but is not active
    PARKED = 4  # found a block with this job
    EXHAUSTED = 5  # has searched its whole part of the job's space


@dataclass(frozen=True, slots=True)
class WorkerCounters:
    """One worker's counters, laid out in the order of the fields. Totals survive restarts of the process.

    Times are time.monotonic_ns(): `heartbeat_ns` is the last sign of life, `left_ns` when the job before `epoch` was
    dropped, `started_ns` when the first slice of the job of `epoch` began (0: not yet). `place_*` is the position in
    the job of `place_epoch`, in groups of `place_midstates`, from which a restarted worker continues. `plan` is the
    `plan_word` of the search plan; `miscounts` the number of jobs whose hash count differed from the plan's.
    `millidegrees` is the temperature of the worker's own device in 0.001 °C, 0 without one.
    """

    pid: int
    state: int
    heartbeat_ns: int
    epoch: int
    left_ns: int
    started_ns: int
    hashes: int
    longest_slice_ns: int
    jobs: int
    shares: int
    shares_suppressed: int
    wrong_hits: int
    place_epoch: int
    place_midstates: int
    place_ntime: int
    place_k: int
    place_group: int
    place_step: int
    place_offset: int
    plan: int
    miscounts: int
    millidegrees: int


WORD_OF = {field.name: index for index, field in enumerate(fields(WorkerCounters))}
"""The index of each field among the words of a worker's counters."""


def plan_word(hash_hex: str) -> int:
    """The first 8 bytes of a plan's hash, which fit a word."""
    return int(hash_hex[:16], 16)


class SharedBlock:
    """The shared memory of `workers` workers, from `create` or, in a worker, from the inherited descriptor `fd`."""

    def __init__(self, fd: int, workers: int) -> None:
        self.fd = fd
        self.workers = workers
        self._slot_at = _COUNTERS_AT + workers * _COUNTERS_SIZE
        self._map = mmap.mmap(fd, self._slot_at + SLOT_SIZE)
        self._bytes = memoryview(self._map)
        self.control = self._bytes[:_NAME_AT].cast("Q")

    @classmethod
    def create(cls, workers: int) -> SharedBlock:
        """New shared memory, all zero, with every worker active."""
        size = _COUNTERS_AT + workers * _COUNTERS_SIZE + SLOT_SIZE
        fd = anonymous_file("solominer-workers")
        os.ftruncate(fd, size)
        block = cls(fd, workers)
        block.active, block.duty = workers, 1.0
        return block

    def close(self) -> None:
        """Unmap the memory; all views from `counters` must have been released."""
        self.control.release()
        self._bytes.release()
        self._map.close()
        os.close(self.fd)

    def counters(self, worker: int) -> memoryview:
        """A view of one worker's counter words; release it before `close`."""
        start = _COUNTERS_AT + worker * _COUNTERS_SIZE
        return self._bytes[start : start + _COUNTERS_SIZE].cast("Q")

    def read_counters(self, worker: int) -> WorkerCounters:
        """A copy of one worker's counters."""
        with self.counters(worker) as words:
            return WorkerCounters(*words[: len(WORD_OF)])

    # Control words. CHANGES counts their changes, so a busy worker reads that one only.

    @property
    def epoch(self) -> int:
        """Increases with every job and every stop; odd while there is a job, otherwise even."""
        return self.control[_EPOCH]

    @property
    def published_ns(self) -> int:
        """time.monotonic_ns() at which the epoch last changed."""
        return self.control[_PUBLISHED_NS]

    @property
    def active(self) -> int:
        """The number of workers that may hash: those with a lower index."""
        return self.control[_ACTIVE]

    @active.setter
    def active(self, count: int) -> None:
        self.control[_ACTIVE] = count
        self.control[CHANGES] += 1

    @property
    def duty(self) -> float:
        """The fraction of the time that a worker with a device of its own keeps it busy, 0 to 1."""
        return self.control[_DUTY] / _DUTY_WHOLE

    @duty.setter
    def duty(self, share: float) -> None:
        self.control[_DUTY] = round(share * _DUTY_WHOLE)
        self.control[CHANGES] += 1

    @property
    def quitting(self) -> bool:
        """Whether the workers should exit."""
        return self.control[_QUIT] != 0

    def quit(self) -> None:
        """Tell all workers to exit after their slice."""
        self.control[_QUIT] = 1
        self.control[CHANGES] += 1

    # The job

    def publish(self, job: bytes, now_ns: int) -> int:
        """Write a job into the slot, start a new epoch with it and return the epoch. Main process only.

        Raises EngineError if the job is larger than the slot.
        """
        if len(job) > SLOT_SIZE:
            raise EngineError(f"a job of {len(job)} bytes is larger than its slot of {SLOT_SIZE}")
        epoch = (self.epoch | 1) + 2
        control = self.control
        control[_SEQUENCE] += 1
        self._bytes[self._slot_at : self._slot_at + len(job)] = job
        control[_LENGTH] = len(job)
        control[_CHECKSUM] = crc32(job, epoch & 0xFFFFFFFF)
        control[_SEQUENCE] += 1
        self._turn(epoch, now_ns)
        return epoch

    def withdraw(self, now_ns: int) -> int:
        """Start a new epoch without a job and return it. Main process only."""
        epoch = (self.epoch | 1) + 1
        self._turn(epoch, now_ns)
        return epoch

    def _turn(self, epoch: int, now_ns: int) -> None:
        self.control[_PUBLISHED_NS] = now_ns
        self.control[_EPOCH] = epoch
        self.control[CHANGES] += 1

    def read_job(self, epoch: int) -> bytes | None:
        """The job of `epoch`, or None while it is being written (read the epoch again)."""
        control = self.control
        sequence = control[_SEQUENCE]
        job = bytes(self._bytes[self._slot_at : self._slot_at + min(control[_LENGTH], SLOT_SIZE)])
        whole = control[_CHECKSUM] == crc32(job, epoch & 0xFFFFFFFF)
        return job if whole and sequence % 2 == 0 and control[_SEQUENCE] == sequence else None

    @property
    def kernel(self) -> str:
        """The name of the kernel that one worker chose for all; empty until then."""
        name = bytes(self._bytes[_NAME_AT : _NAME_AT + _NAME_SIZE])
        return name.rstrip(b"\0").decode() if self.control[_KERNEL] == 1 + crc32(name) else ""

    @kernel.setter
    def kernel(self, name: str) -> None:
        raw = name.encode().ljust(_NAME_SIZE, b"\0")
        if len(raw) > _NAME_SIZE:
            raise EngineError(f"the kernel's name {name!r} is longer than {_NAME_SIZE} bytes")
        self.control[_KERNEL] = 0
        self._bytes[_NAME_AT : _NAME_AT + _NAME_SIZE] = raw
        self.control[_KERNEL] = 1 + crc32(raw) if name else 0


def anonymous_file(label: str) -> int:
    """The descriptor of a file without a name, in memory if the system supports it. Raises OSError."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(label)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
