"""Bookkeeping of one network: opens hours, adds entries, and seals closed hours with reports. Used by one thread.

Disk errors never raise out of here. What could not be written stays in memory and is retried at the next flush; alarms
are raised when the trouble begins and when it is over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from solominer.errors import RecordsError
from solominer.records.clock import ClockCheck, records_problem
from solominer.records.evidence.proofs import BlockProofs, share_certificate, witness_root
from solominer.records.evidence.report_chain import ReportChain
from solominer.records.evidence.signing import Signer
from solominer.records.evidence.state import State, load_state, save_state
from solominer.records.files import optional, reason
from solominer.records.ledger.hour_files import HourFiles
from solominer.records.ledger.jsonlines import close_torn_line
from solominer.records.ledger.ledger import ShareLine, entries, ledger_path, work_fields
from solominer.records.ledger.miner_sums import MinerSums
from solominer.records.ledger.open_hour import OpenHour
from solominer.records.report.errors_log import error_id, scrub
from solominer.records.report.tally import CREDIT_UNIT
from solominer.records.settings import Alarm, RecorderSettings
from solominer.records.tree import HOUR_SECS, Part, Tree, make_folder
from solominer.work.events import NodeHealth
from solominer.work.found import FoundBlock
from solominer.work.job import Job
from solominer.work.miners import MinerShares
from solominer.work.template import TemplateTx
from solominer.work.workers import WorkerSnapshot

CLOCK_SLACK_SECS = 300.0
"""If the clock goes back by less than this, the open hour continues; if by more, a new part is opened."""

READING_SECS = 60.0
"""How often counters, miners' sums and readings are recorded."""

_CLOCK_TODO = "set it by NTP (timedatectl): schedules depend on it; no records are deleted by age until it is confirmed"
_KEPT_JOBS = 1024
_DROPPABLE = frozenset({"share", "latency", "system", "health"})


class Books:
    """See the module. `at` is the wall clock in Unix seconds, `up` monotonic seconds since the start of the run.

    `trouble` is why the last `flush` left something unwritten, in memory; "" if it did not.
    """

    def __init__(
        self, tree: Tree, hours: OpenHour, network: str, settings: RecorderSettings, alarm: Alarm, signer: Signer | None
    ) -> None:
        self._tree, self._hours, self._network, self._settings = tree, hours, network, settings
        self._alarm = alarm
        self._proofs = BlockProofs(tree, network)
        self._closing: list[HourFiles] = []
        self._chain = ReportChain(tree, network, settings, signer)
        self._seq = 1
        self._run: str = ""
        self._now: HourFiles | None = None
        self._work: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._is_counting = False
        self._counters: dict[str, int] = {}
        self._credited: dict[str, float] = {}
        self._targets: dict[str, str] = {}
        self._counters_written: dict[str, dict[str, Any]] = {"counters": {}}
        self._terms = ("", "")
        self._written_up: dict[str, float] = {}
        self._written_change: dict[str, Any] = {}
        self._miners = MinerSums()
        self._lost = 0
        self.trouble = ""
        self._closed = False
        self._clock = ClockCheck(network)
        self._clock_written_up: float | None = None
        self._at = self._up = 0.0
        self._state_saved = False

    # --- begin and end -------------------------------------------------------------------------------------------

    def open(self, at: float, up: float, run: str, facts: Mapping[str, Any]) -> None:
        """Begin a run: close the hours that an earlier one left open, or continue the current one."""
        self._run, self._at, self._up = run, at, up
        state = load_state(self._tree)
        problem = self._chain.go_on_from(state.head)
        self._seq = self._chain.last_seq + 1
        left = [part for part in state.unsealed if self._tree.exists(part)]
        for part in left:
            self._resume(part, at)
        if left and left[-1].start == Part.at(at).start:
            self._now = self._closing.pop()
            self._hours.switch(self._now.part)
        if self._now is None:
            self._begin_part(self._fresh_part(at), at, up)
        self.entry(at, up, "open", {"run": run, **facts})
        if problem:
            self.error(at, up, {"severity": "high", "code": "report-changed", "message": problem})
        problem = records_problem(self._chain.newest_at, at)
        if problem:
            self._warn_of_clock(at, up, problem)
        self.flush()

    def _resume(self, part: Part, at: float) -> None:
        """Recover a part that was never sealed. The line `torn` gets the number that the torn line had."""
        torn = 0
        try:
            torn = close_torn_line(ledger_path(self._tree, part))
        except OSError as error:
            self._in_trouble(f"the ledger of {part.path} cannot be repaired: {reason(error)}")
        resumed = HourFiles(self._tree, self._network, part)
        try:
            resumed.resume()
            self._proofs.recover(part, entries(self._tree, part))
            self._proofs.write(part, resumed.put)
        except OSError as error:
            self._in_trouble(f"the records of {part.path} cannot be read: {reason(error)}")
        if resumed.fold.last_seq is not None:
            self._seq = max(self._seq, resumed.fold.last_seq + 1)
        if torn:
            resumed.add(self._line(resumed.fold.to_at or at, 0.0, "torn", {"bytes": torn}))
        resumed.why = "recovered"
        self._closing.append(resumed)

    def close(self, at: float, up: float) -> None:
        """End the run and seal its hour. If that fails, `trouble` says why: what was not written is lost."""
        if self._now is None:
            return
        self._closed = True
        self._at, self._up = at, up
        self._write_sums(at, up)
        self.entry(at, up, "close", {"run": self._run})
        self._end_part("shutdown")
        self._hours.switch(None)
        self.flush()
        for closing in self._closing:
            closing.abandon()

    # --- hours ---------------------------------------------------------------------------------------------------

    def tick(self, at: float, up: float) -> None:
        """End the hour when it is over, or when the clock was set back, which only this method handles."""
        self._at, self._up = at, up
        open_part = self._open_part
        if at < open_part.part.start - CLOCK_SLACK_SECS:
            self._turn(at, up, "clock")
        else:
            self._turn_if_due(at, up)

    def _turn_if_due(self, at: float, up: float) -> None:
        if at >= self._open_part.part.start + HOUR_SECS:
            self._turn(at, up, "hour")

    def _turn(self, at: float, up: float, why: str) -> None:
        ended = self._open_part
        self._write_sums(min(at, ended.part.start + HOUR_SECS) if why == "hour" else at, up)
        self._end_part(why)
        self._begin_part(self._fresh_part(at), at, up)

    def _end_part(self, why: str) -> None:
        if self._now is not None:
            self._write_lost()
            self._proofs.write(self._now.part, self._now.put)
            self._now.why = why
            self._closing.append(self._now)
            self._now = None

    def _begin_part(self, part: Part, at: float, up: float) -> None:
        self._now = HourFiles(self._tree, self._network, part)
        self._hours.switch(part)
        self._miners.end_hour()
        self._state_saved = False
        self.entry(at, up, "begin", {"part": part.path, "run": self._run, **self._counters_written})
        if self._work:
            key = next(reversed(self._work))
            self._describe(at, up, key, self._work[key])

    def _fresh_part(self, at: float) -> Part:
        part = self._tree.fresh_part(at)
        taken = {closing.part for closing in self._closing}
        while part in taken:
            part = Part(part.start, part.repeat + 1)
        return part

    @property
    def _open_part(self) -> HourFiles:
        if self._now is None:
            raise RecordsError("the books are not open")
        return self._now

    # --- entries -------------------------------------------------------------------------------------------------

    def entry(self, at: float, up: float, kind: str, fields: Mapping[str, Any]) -> None:
        """Write one line of the ledger."""
        self._turn_if_due(at, up)
        part = self._open_part
        if kind in _DROPPABLE and part.waiting > self._settings.max_waiting_bytes:
            self._lost += 1
            return
        entry = self._line(at, up, kind, fields)
        part.add(entry)
        if kind in ("block_answer", "block_state"):
            self._proofs.news(entry)

    def job(self, at: float, up: float, key: str, job: Job) -> None:
        """A job was published."""
        self._remember(key, job)
        self._turn_if_due(at, up)
        self._describe(at, up, key, self._work[key])

    def share(self, at: float, up: float, line: ShareLine) -> None:
        """A verified share."""
        self._turn_if_due(at, up)
        if line.key not in self._open_part.described:
            if line.key not in self._work:
                self._remember(line.key, line.seen.job)
            self._describe(at, up, line.key, self._work[line.key])
        self.entry(at, up, "share", line.fields())

    def _remember(self, key: str, job: Job) -> None:
        self._work[key] = work_fields(key, job)
        while len(self._work) > _KEPT_JOBS:
            self._work.popitem(last=False)

    def _describe(self, at: float, up: float, key: str, fields: Mapping[str, Any]) -> None:
        self._open_part.described.add(key)
        terms = (fields["share_target_hex"], fields.get("pool", ""))
        if terms != self._terms:
            # Record the counters first: hashes so far count against the old target, and for the old pool or none.
            self._terms = terms
            self._write_counters(at, up)
        self.entry(at, up, "work", fields)

    def block(self, block: FoundBlock, others: Sequence[TemplateTx] | None, plan: Mapping[str, Any] | None) -> None:
        """A block was found: start its proof. Its ledger lines come from the coordinator.

        `others` are its transactions but the coinbase; None if they are unknown.
        """
        self._proofs.begin(block, None if others is None else witness_root(others), plan)

    def error(self, at: float, up: float, fields: Mapping[str, Any]) -> None:
        """An error: in full the first time in an hour, then only its id."""
        self._turn_if_due(at, up)
        clean = {key: scrub(value) if isinstance(value, str) else value for key, value in fields.items()}
        id_ = error_id(clean["code"], clean["severity"], clean["message"])
        part = self._open_part
        if id_ in part.fold.errors:
            self.entry(at, up, "error", {"id": id_, "severity": clean["severity"], "code": clean["code"]})
        else:
            self.entry(at, up, "error", {"id": id_, **clean})
            part.put_errors()

    def counters(self, at: float, up: float, workers: Iterable[WorkerSnapshot]) -> None:
        """The workers' current counters; a ledger line every READING_SECS.

        A Stratum client that has done nothing, as doctor's, is no worker.
        """
        self._is_counting = True
        workers = tuple(seen for seen in workers if seen.hashes_credited or seen.shares or not seen.worker.is_stratum)
        targets = {str(seen.worker): f"{seen.share_target:064x}" for seen in workers if seen.share_target}
        if any(self._targets.get(label, target) != target for label, target in targets.items()):
            self._write_counters(at, up)  # hashes so far count against the old target
        self._targets |= targets
        for seen in workers:
            if seen.hashes_credited:
                self._credited[str(seen.worker)] = seen.hashes_credited / CREDIT_UNIT
            else:
                self._counters[str(seen.worker)] = seen.hashes_counted
        if self._due("counters", up):
            self._write_sums(at, up)

    def miners(self, sums: Iterable[MinerShares]) -> None:
        """The miners' sums since the last call; a ledger line every READING_SECS."""
        self._miners.add(sums)

    def reading(self, at: float, up: float, kind: str, name: str, fields: Mapping[str, Any], change: Any) -> None:
        """A reading: a ledger line every READING_SECS, and whenever `change` differs."""
        key = f"{kind}|{name}"
        if self._due(key, up) or self._written_change.get(key) != change:
            self._written_change[key] = change  # the last one only: a node may report a new problem each time
            self._written_up[key] = up
            self.entry(at, up, kind, fields)

    def look(self, at: float, up: float, health: NodeHealth) -> None:
        """Compare a node's health check with the clock: warn hourly while they disagree, and report when they agree."""
        self._clock.look(at, up, health)
        problem, warned = self._clock.problem(at, up), self._clock_written_up
        if problem and (warned is None or up - warned >= HOUR_SECS):
            self._clock_written_up = up
            self._warn_of_clock(at, up, problem)
        elif not problem and warned is not None:
            self._clock_written_up = None
            self._alarm("info", "clock", "this machine's clock agrees with the nodes again", "")

    def _warn_of_clock(self, at: float, up: float, problem: str) -> None:
        self._alarm("medium", "clock", problem, _CLOCK_TODO)
        self.error(at, up, {"severity": "medium", "code": "clock", "message": problem, "done": _CLOCK_TODO})

    def log(self, line: str) -> None:
        """Write one line of the hour's log."""
        if self._now is not None and self._now.waiting <= self._settings.max_waiting_bytes:
            self._now.log(line)

    def _due(self, key: str, up: float) -> bool:
        last = self._written_up.get(key)
        if last is not None and 0 <= up - last < READING_SECS:
            return False
        self._written_up[key] = up
        return True

    def _write_sums(self, at: float, up: float) -> None:
        self._write_counters(at, up, unchanged=True)  # an hour's rate is over its idle time too
        fields = self._miners.take()
        if fields is not None and self._now is not None:
            self._now.add(self._line(at, up, "miners", fields))

    def _write_counters(self, at: float, up: float, *, unchanged: bool = False) -> None:
        fields: dict[str, dict[str, Any]] = {"counters": dict(self._counters)}
        if self._credited:
            fields["credited"] = dict(self._credited)
        if self._now is None or not self._is_counting:
            return
        if unchanged or fields != self._counters_written:
            self._counters_written = fields
            targets = {"share_targets": dict(self._targets)} if self._targets else {}
            self._now.add(self._line(at, up, "counters", {**fields, **targets}))

    def _line(self, at: float, up: float, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A numbered entry; `fields` cannot override seq, at, up and kind."""
        frame = {"seq": self._seq, "at": round(at, 3), "up": round(up, 3), "kind": kind}
        self._seq += 1
        return {**frame, **fields, **frame}

    # --- the disk ------------------------------------------------------------------------------------------------

    @property
    def urgent(self) -> bool:
        """Whether something should be written at once."""
        return self._now is not None and self._now.urgent

    def lost(self, count: int) -> None:
        """Count entries dropped by the writer's queue."""
        self._lost += count

    def flush(self) -> None:
        """Write everything and seal the hours that have ended."""
        try:
            if not self._state_saved:
                self._save_state()
            if self._now is not None:  # first: a block's lines do not wait for an hour to be sealed
                self._proofs.write(self._now.part, self._now.put)
                self._now.flush()
            while self._closing:
                self._seal_or_leave(self._closing[0])
                self._closing.pop(0)
                self._state_saved = False
                self._save_state()
        except OSError as error:
            self._in_trouble(f"the records in {self._tree.root} cannot be written: {reason(error)}")
        else:
            self._out_of_trouble()

    def _seal_or_leave(self, closing: HourFiles) -> None:
        """Seal, or give up with an alarm: foreign content in an hour's folder can make sealing impossible."""
        try:
            self._seal(closing)
        except RecordsError as error:
            todo = f"run `solominer verify {self._tree.root}` to see what is wrong"
            self._alarm("high", "hour-not-sealed", f"{error.what}; the hour gets no report", todo)
            closing.abandon()

    def _seal(self, part: HourFiles) -> None:
        self._hours.wait_until_left(part.part)
        if part.fold.best.kept:
            certificate = share_certificate(self._network, part.fold.best.kept[0])
            if certificate is not None:
                part.put(f"proofs/{part.part.path}/best-share.json", certificate)
        part.finish()
        busy = {waiting.part for waiting in self._closing}
        if self._now is not None:
            busy.add(self._now.part)
        belief = self._clock.belief(self._at, self._up)
        self._chain.seal(part.part, part.fold, part.why, busy, self._at, belief)

    def _save_state(self) -> None:
        unsealed = [closing.part for closing in self._closing]
        if self._now is not None:
            unsealed.append(self._now.part)
            ledger = ledger_path(self._tree, self._now.part)
            self._tree.clear_the_way(ledger)
            make_folder(ledger.parent)
        self._tree.clear_the_way(self._tree.root / "reports" / "x")
        make_folder(self._tree.root / "reports")
        with optional("writing state.json"):
            save_state(self._tree, State(tuple(unsealed), self._chain.head))
            self._state_saved = True

    def _in_trouble(self, problem: str) -> None:
        if not self.trouble and not self._closed:
            todo = "free disk space or repair the disk; mining continues, unwritten records are kept in memory"
            self._alarm("critical", "records-failing", problem, todo)
        self.trouble = problem

    def _out_of_trouble(self) -> None:
        if self.trouble:
            self._alarm("info", "records-recovered", f"recording resumed after: {self.trouble}", "")
            self.trouble = ""
        self._write_lost()

    def _write_lost(self) -> None:
        if self._lost and self._now is not None:
            lost, self._lost = self._lost, 0
            self._now.add(self._line(self._now.fold.to_at or 0.0, 0.0, "lost", {"entries": lost}))
