"""Watches the stream of jobs from the server's side: which messages it took, and which it was sent besides."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import nats
from nats.aio.msg import Msg

from solominer.engines.cluster import subjects
from solominer.engines.cluster.join_file import ClusterFiles
from solominer.engines.cluster.messages import JobMessage

PATIENCE_SECS = 60.0

Order = tuple[int, int]
"""Run and number of a message."""


class Heard(NamedTuple):
    """A message, and when it came (monotonic)."""

    at: float
    order: Order


class JobWatch:
    """A client beside the heads, with a thread of its own; a context manager. `folder` is the cluster's."""

    def __init__(self, folder: Path, url: str) -> None:
        self.taken: list[Heard] = []
        """What the stream had as its newest message, in its order."""
        self.sent: list[Heard] = []
        """What any head sent, taken or not."""
        self.parents: set[str] = set()
        """The parents of the jobs that the stream has taken, as RPC shows hashes."""
        self._folder, self._url = folder, url
        self._loop = asyncio.new_event_loop()
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._watch()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        self._loop.close()

    def await_job_on(self, tip_hex: str) -> None:
        """Wait until the stream has taken a job on this block: what nodes will hear, whatever becomes of the head."""
        deadline = time.monotonic() + PATIENCE_SECS
        while tip_hex not in self.parents:
            assert time.monotonic() < deadline, f"no job on {tip_hex} was published"
            time.sleep(0.001)

    async def _watch(self) -> None:
        tls = ClusterFiles.read(self._folder).tls_context()
        client = await nats.connect(self._url, tls=tls)

        async def taken(message: Msg) -> None:
            told = JobMessage.unpack(message.data)
            self.taken.append(Heard(time.monotonic(), told.order))
            if told.job is not None:
                self.parents.add(told.job.prevhash_le[::-1].hex())

        async def sent(message: Msg) -> None:
            self.sent.append(Heard(time.monotonic(), JobMessage.unpack(message.data).order))

        await client.subscribe(subjects.JOB, cb=sent)
        js = client.jetstream()
        kept = await js.subscribe(subjects.JOB, stream=subjects.JOB_STREAM, cb=taken, ordered_consumer=True)
        self._ready.set()
        await self._end.wait()
        await kept.unsubscribe()
        await client.close()

    def problems(self) -> list[str]:
        """Two heads published, if the stream took a message of an older run behind one of a newer."""
        orders = [heard.order for heard in tuple(self.taken)]
        return [f"the servers took job {later} behind {before}" for before, later in pairwise(orders) if later < before]

    def late(self) -> int:
        """How many messages of an older run came after the first of a newer one was taken: all of them refused."""
        first: dict[int, float] = {}
        for at, (run, _) in tuple(self.taken):
            first.setdefault(run, at)
        return sum(any(run < newer and at > since for newer, since in first.items()) for at, (run, _) in self.sent)
