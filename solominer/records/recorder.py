"""The daemon's interface to the records: calls return at once and are carried out in order by a writer thread."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from solominer import __version__
from solominer.errors import RecordsError
from solominer.records.events.event_log import EventLog, Start
from solominer.records.evidence.signing import Signer
from solominer.records.journal.journal import Journal
from solominer.records.journal.recovery import Replay, open_blocks
from solominer.records.ledger.books import Books
from solominer.records.ledger.ledger import ShareLine, is_urgent
from solominer.records.ledger.open_hour import OpenHour
from solominer.records.ledger.writer import Writer
from solominer.records.lock import FolderLock
from solominer.records.settings import Alarm, RecorderSettings
from solominer.records.tree import Tree
from solominer.work.actions import Action, ShareSeen
from solominer.work.events import Event, NodeHealth
from solominer.work.found import FoundBlock
from solominer.work.job import Job
from solominer.work.miners import MinerShares
from solominer.work.workers import EngineSnapshot

_BATCH_SECS, _MOST_IN_BATCH = 5.0, 256
"""Of events, most of which are ticks: a few at a time cost several times as much."""


class Recorder:
    """The records of one network under `data_dir/<tree_name>/`.

    Only `open`, `flush`, `close` and the journal block; everything else may be called on the event loop. `at` is in
    Unix seconds. `on_alarm` is called from the writer's thread.
    """

    def __init__(
        self,
        data_dir: Path,
        tree_name: str,
        *,
        network: str | None = None,
        on_alarm: Alarm,
        settings: RecorderSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`network` is the chain, by default `tree_name`; `clock` is monotonic, in seconds.

        Raises RecordsError if the configured signing key cannot be used.
        """
        settings = settings or RecorderSettings()
        self.tree = Tree(data_dir / tree_name)
        hours = OpenHour()
        self._fallback = None if settings.journal_fallback_dir is None else settings.journal_fallback_dir / tree_name
        self.journal = Journal(self.tree, hours, self._fallback)
        signer = None if settings.signing_key is None else Signer.load(settings.signing_key)
        self._books = Books(self.tree, hours, network or tree_name, settings, on_alarm, signer)
        self._events = EventLog(self.tree.root, settings.free_bytes)
        self._batch: list[tuple[Event, list[Action]]] = []
        self._writer = Writer(self._books, settings, on_alarm)
        self._lock = FolderLock(data_dir, self.tree.root)
        self._clock = clock
        self._began = clock()
        self._run = ""

    def open(self, at: float, facts: Mapping[str, Any] | None = None) -> Replay:
        """Lock the folder, recover from a crash, and begin. Returns the blocks of earlier runs that are not final.

        `facts` go into the ledger's `open` line (mode, search plan). Blocks.
        Raises AlreadyRunning, or RecordsError if the folder cannot be written.
        """
        self._lock.acquire()
        self._began = self._clock()
        self._run = f"{int(at):08x}{secrets.token_hex(2)}"  # not the pid: it is the same for every run in a container
        replay = open_blocks(self.tree, self._fallback)
        self._books.open(at, 0.0, self._run, {"solominer": __version__, "pid": os.getpid(), **(facts or {})})
        self._writer.start()
        return replay

    def record(self, at: float, kind: str, fields: Mapping[str, Any]) -> None:
        """Write a line of the ledger."""
        self._writer.post(self._books.entry, at, self._up(), kind, fields, urgent=is_urgent(kind))

    def begin_events(self, at: float, start: Start) -> None:
        """Start the event log of a coordinator that begins with `start`."""
        self._writer.post(self._events.begin, at, self._run, start)

    def event(self, event: Event, actions: list[Action]) -> None:
        """Log an event of the coordinator and the actions it led to."""
        if self._events.take():
            self._batch.append((event, actions))
            if len(self._batch) >= _MOST_IN_BATCH or event.at - self._batch[0][0].at >= _BATCH_SECS:
                self._post_batch()

    def job(self, at: float, job: Job) -> None:
        """A job was published."""
        self._writer.post(self._books.job, at, self._up(), self._key(job), job)

    def share(self, seen: ShareSeen, plan: Mapping[str, Any] | None = None) -> None:
        """A share that was verified. `plan` is its position in the search plan, if any."""
        line = ShareLine(self._key(seen.job), seen, plan)
        self._writer.post(self._books.share, seen.share.at.wall, self._up(), line, droppable=True)

    def block(self, block: FoundBlock, job: Job | None = None, plan: Mapping[str, Any] | None = None) -> None:
        """A block was found: start its proof. With its job, the proof covers the witness commitment too."""
        transactions = None if job is None else job.template.transactions
        self._writer.post(self._books.block, block, transactions, plan, urgent=True)

    def error(self, at: float, severity: str, code: str, message: str, *, done: str = "") -> None:
        """Record an error or alarm. `done` is what was done about it, or what a person should do."""
        fields = {"severity": str(severity), "code": code, "message": message}
        if done:
            fields["done"] = done
        self._writer.post(self._books.error, at, self._up(), fields, urgent=True)

    def counters(self, at: float, seen: EngineSnapshot) -> None:
        """Each worker's hash counter since the start of the run; call about once a second."""
        self._writer.post(self._books.counters, at, self._up(), seen.workers, droppable=True)

    def miners(self, sums: list[MinerShares]) -> None:
        """The miners' sums since the last call, by name and client. One line a minute."""
        if sums:
            self._writer.post(self._books.miners, sums, droppable=True)

    def latency(self, at: float, what: str, secs: float) -> None:
        """A duration: `tip_to_stop`, `tip_to_empty`, `tip_to_full`, ..."""
        fields = {"what": what, "secs": round(secs, 6)}
        self._writer.post(self._books.entry, at, self._up(), "latency", fields, droppable=True)

    def system(self, at: float, readings: Mapping[str, float | None]) -> None:
        """Machine metrics: cpu_percent, memory_bytes, temperature_c, load; None if unknown. One line a minute."""
        known = {name: value for name, value in readings.items() if value is not None}
        self._writer.post(self._books.reading, at, self._up(), "system", "", known, None, droppable=True)

    def health(self, at: float, health: NodeHealth) -> None:
        """A node's health check. One line a minute, and one at each change."""
        fields = {
            "node": health.node,
            "usable": health.usable,
            "problem": health.problem,
            "height": health.height,
            "headers": health.headers,
            "peers": health.peers,
            "clock_offset_secs": health.clock_offset_secs,
            "zmq": health.zmq,
            "ipc": health.ipc,
            "version": health.version,
            "rpc_secs": round(health.rpc_secs, 6),
        }
        self._writer.post(self._books.look, at, self._up(), health, droppable=True)
        change = (health.usable, health.problem, health.zmq, health.ipc, health.version)
        self._writer.post(self._books.reading, at, self._up(), "health", health.node, fields, change, droppable=True)

    def log(self, line: str) -> None:
        """One line of the hour's log."""
        self._writer.post(self._books.log, line, droppable=True)

    def log_handler(self) -> logging.Handler:
        """A logging handler that writes to the hour's log."""
        return _LogHandler(self)

    def tick(self, at: float) -> None:
        """Call about once a second; ends the hour when it is over."""
        self._writer.post(self._books.tick, at, self._up())

    def flush(self, timeout_secs: float | None = None) -> bool:
        """Wait until everything posted so far is written; False on timeout, or while the disk fails."""
        self._post_batch()
        return self._writer.drain(timeout_secs)

    def close(self, at: float) -> None:
        """End the run, seal its hour, release the lock. Blocks. Raises RecordsError if the end could not be written."""
        self._post_batch()
        self._writer.post(self._events.close)
        self._writer.post(self._books.close, at, self._up())
        self._writer.stop()
        self._lock.release()
        if self._books.trouble:
            todo = "free disk space or repair the disk; the next start seals the hour from what is there"
            raise RecordsError(f"the end of this run is lost: {self._books.trouble}", todo)

    def _post_batch(self) -> None:
        batch, self._batch = self._batch, []
        self._writer.post(self._events.add_all, batch)

    def _up(self) -> float:
        return self._clock() - self._began

    def _key(self, job: Job) -> str:
        return f"{self._run}-{job.job_id}{job.variant and '.' + job.variant}"


class _LogHandler(logging.Handler):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        self._recorder.log(self.format(record))
