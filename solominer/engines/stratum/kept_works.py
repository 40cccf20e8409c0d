"""The works that shares may still arrive for: for a server that is started again, and over a restart of the daemon."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from solominer.engines.jobs_file import JobsFile, SavedJob
from solominer.engines.stratum.channel import Publish
from solominer.engines.stratum.jobs import JOBS_PER_WORK_BITS
from solominer.engines.stratum.work import Work
from solominer.work.events import JobRestored
from solominer.work.instant import Clock
from solominer.work.policy import KEEP_SECS
from solominer.work.ports import Post
from solominer.work.template import Template

MOST_KEPT = 512
MOST_WAITING = 8
SKIP_JOBS = 1 << 18
"""More job numbers than a process can use for one work before the daemon hears of its end."""

_ALL_JOBS = (1 << JOBS_PER_WORK_BITS) - 1
_CLOSE_SECS = 2.0


class KeptWork(NamedTuple):
    """Work that miners were given, and where the numbers of jobs begin."""

    first_seq: int
    work: Work


class KeptWorks:
    """Works by id, the newest last. `first_seq` is where the numbers of jobs begin (`jobs.JobBoard`).

    With a `path` a thread writes them there, so that no job waits for the disk; where that is slow, old ones are left
    out. Numbers go on where works of an earlier run were restored, else they begin elsewhere.
    """

    def __init__(self, path: Path | None) -> None:
        self.first_seq = (os.urandom(1)[0] & 0x7F) << 56
        self._works: dict[int, tuple[float, Work]] = {}
        self._file = JobsFile(path, KeptWork) if path else None
        self._waiting: deque[SavedJob[KeptWork]] = deque(maxlen=MOST_WAITING)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def __len__(self) -> int:
        return len(self._works)

    @property
    def newest(self) -> Work | None:
        """The work that was added last."""
        return next(reversed(self._works.values()))[1] if self._works else None

    def get(self, work_id: int) -> Work | None:
        """The work of that id, if it is kept."""
        return self._works[work_id][1] if work_id in self._works else None

    def restore(self, post: Post, clock: Clock) -> None:
        """Begin with those of the run before, whose miners may still hand in solutions; `post` hears of their jobs.

        Works that are added from now on are written.
        """
        if self._file is None:
            return
        for saved in self._file.load():
            age = max(0.0, time.time() - saved.at)
            self.first_seq, work = saved.own
            self._works[work.work_id] = time.monotonic() - age, work
            post(JobRestored(clock(), work.work_id, saved.template, age))
        self._thread = threading.Thread(target=self._write, args=(self._file,), name="stratum works", daemon=True)
        self._thread.start()

    def add(self, work: Work, template: Template) -> None:
        """Work that miners are given now, and the template that it was made of."""
        self._works[work.work_id] = time.monotonic(), work
        while len(self._works) > MOST_KEPT:
            del self._works[next(iter(self._works))]
        if self._file is not None:
            with self._changed:
                self._waiting.append(SavedJob(time.time(), KeptWork(self.first_seq, work), template))
                self._changed.notify()

    def messages(self, starts: int, *, has_work: bool) -> Iterator[Publish]:
        """The messages for a process that is started for the `starts`-th time: all works; the newest is announced."""
        now = time.monotonic()
        newest = next(reversed(self._works), None)
        for work_id, (at, work) in self._works.items():
            if now - at < KEEP_SECS:
                announce = has_work and work_id == newest
                yield Publish(work, now - at, SKIP_JOBS * (starts - 1) if announce else _ALL_JOBS, announce)

    def close(self) -> None:
        """Write what is waiting. Blocks, but not for long."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECS)

    def _write(self, file: JobsFile[KeptWork]) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
                saved = self._waiting.popleft()
            file.add(saved)
