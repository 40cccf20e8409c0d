"""The sums of one hour, from its ledger entries: live as they are written, or from the file after a crash.

Entries are the only input, so every report can be recomputed from the ledger. Memory is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from solominer.chain.fields import Field
from solominer.chain.target import decode_compact, expected_hashes
from solominer.errors import DecodeError
from solominer.records.ledger.jsonlines import MALFORMED
from solominer.records.ledger.ledger import is_frame
from solominer.records.report.best import JOB_KEYS, KEPT, BestHashes
from solominer.records.report.errors_log import ErrorLog
from solominer.records.report.latency import Durations
from solominer.records.report.miners import HourMiners
from solominer.records.report.pools import HourPools
from solominer.records.report.searched import Searched
from solominer.records.report.tally import Counts

MAX_BLOCKS = 20_000
MAX_JOBS = 1_024
MAX_NAMES = 64

Entry = Mapping[str, Any]


@dataclass(slots=True)
class Range:
    """Mean and extremes of a quantity."""

    count: int = 0
    total: float = 0.0
    least: float = 0.0
    most: float = 0.0
    last: float = 0.0

    def add(self, value: float) -> None:
        """One more value."""
        self.least = value if not self.count else min(self.least, value)
        self.most = value if not self.count else max(self.most, value)
        self.count += 1
        self.total += value
        self.last = value

    def summary(self) -> dict[str, float] | None:
        """Rounded, for the report; None if there was no value."""
        if not self.count:
            return None
        mean = round(self.total / self.count, 3)
        return {"mean": mean, "min": round(self.least, 3), "max": round(self.most, 3), "last": round(self.last, 3)}


class HourFold:
    """The sums of one part. Entries must be added in order; malformed ones are only counted (`unparsed`)."""

    def __init__(self, keep_best: int = KEPT) -> None:
        self.first_seq: int | None = None
        self.last_seq: int | None = None
        self.lines = 0
        self.unparsed = 0
        self.torn = 0
        self.lost = 0
        self.from_at: float | None = None
        self.to_at: float | None = None
        self.clock_went_back_secs = 0.0
        self.uptime_secs = 0.0
        self.kinds: Counter[str] = Counter()
        self.counts = Counts()
        self.shares = 0
        self.stale_shares = 0
        self.dropped_shares = 0
        self.tightest_share_target: int | None = None
        self.best = BestHashes(keep_best)
        self.errors = ErrorLog()
        self.durations: dict[str, Durations] = {}
        self.system: dict[str, Range] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.fees = Range()
        self.blocks: dict[str, dict[str, Any]] = {}
        self.blocks_found = 0
        self.target: int | None = None
        self.share_target: int | None = None
        self.searched = Searched()
        self.miners = HourMiners()
        self.pools = HourPools()
        self._pool = ""
        self._jobs: dict[str, Entry] = {}
        self._first_up: float | None = None
        self._last_up = 0.0
        self._handlers: dict[str, Callable[[Entry], object]] = {
            "open": self._open,
            "begin": self._begin,
            "work": self._work,
            "share": self._share,
            "shares_dropped": self._shares_dropped,
            "counters": self._counters,
            "miners": self.miners.add,
            "latency": self._latency,
            "system": self._system,
            "health": self._health,
            "template": self._template,
            "block_found": self._block_found,
            "block_state": self._block_state,
            **dict.fromkeys(("pool_answer", "pool_block", "pool_lost"), self.pools.add),
            "diagnostics": self.searched.diagnostics,
            "error": self.errors.add,
            "torn": self._torn,
            "lost": self._lost,
        }

    def add(self, entry: Entry) -> None:
        """Add one ledger entry."""
        try:
            self._frame(entry)
            handler = self._handlers.get(entry["kind"])
            if handler is not None:
                handler(entry)
        except (*MALFORMED, DecodeError):
            self.unparsed += 1

    def _frame(self, entry: Entry) -> None:
        at, up, kind = float(entry["at"]), float(entry["up"]), str(entry["kind"])
        if not is_frame(entry):
            raise ValueError("not a valid entry")
        self.lines += 1
        self.last_seq = int(entry["seq"])
        if self.first_seq is None:
            self.first_seq = self.last_seq
        if self.to_at is not None and at < self.to_at:
            self.clock_went_back_secs = max(self.clock_went_back_secs, self.to_at - at)
        self.from_at = at if self.from_at is None else min(self.from_at, at)
        self.to_at = at if self.to_at is None else max(self.to_at, at)
        if len(self.kinds) < MAX_NAMES or kind in self.kinds:
            self.kinds[kind] += 1
        if kind == "open" or self._first_up is None:
            self._first_up = self._last_up = up
        elif up > self._last_up:
            self.uptime_secs += up - self._last_up
            self._last_up = up

    # --- runs and counters ---------------------------------------------------------------------------------------

    def _open(self, entry: Entry) -> None:
        """A run begins: its counters and jobs start from zero."""
        self.counts.start({}, {}, float(entry["up"]))
        self._jobs.clear()
        self.searched.plan((entry.get("plan") or {}).get("hash"))

    def _begin(self, entry: Entry) -> None:
        self.counts.start(entry["counters"], entry.get("credited", {}), float(entry["up"]))

    def _counters(self, entry: Entry) -> None:
        targets, usual = Field(entry, "counters").get("share_targets"), self._share_hashes(self.share_target)
        own = {} if targets is None else {label: target.hex_number(1, 64) for label, target in targets.members()}
        for target in own.values():
            self._tighten(target)
        block = float(expected_hashes(self.target)) if self.target is not None else 0.0

        def share_hashes(label: str) -> float:
            return self._share_hashes(own[label]) if label in own else usual

        counts = self.counts
        before = counts.counted, counts.credited, counts.expected_blocks
        counts.read(entry["counters"], entry.get("credited", {}), float(entry["up"]), share_hashes, block)
        if self._pool:
            counted, credited, expected = before
            done = counts.counted - counted, counts.credited - credited, counts.expected_blocks - expected
            self.pools.mined(self._pool, *done)

    @staticmethod
    def _share_hashes(target: int | None) -> float:
        return 0.0 if target is None else float(expected_hashes(target))

    def _tighten(self, share_target: int) -> None:
        tightest = self.tightest_share_target
        self.tightest_share_target = share_target if tightest is None else min(tightest, share_target)

    # --- work and shares -----------------------------------------------------------------------------------------

    def _work(self, entry: Entry) -> None:
        while len(self._jobs) >= MAX_JOBS:
            del self._jobs[next(iter(self._jobs))]
        self._jobs[Field(entry, "work")["job"].text()] = {key: entry[key] for key in JOB_KEYS}
        fields, fees_sats = Field(entry, "work"), float(entry["fees_sats"])
        self.target = decode_compact(fields["nbits"].hex_number(1, 8))
        self.share_target = fields["share_target_hex"].hex_number(1, 64)
        self._tighten(self.share_target)
        self._pool = str(entry.get("pool", ""))
        if not self._pool:  # a pool does not tell
            self.fees.add(fees_sats)

    def _share(self, entry: Entry) -> None:
        value = Field(entry, "share")["hash"].hex_number(64, 64)
        self.shares += 1
        self.stale_shares += bool(entry.get("stale"))
        own = Field(entry, "share").get("share_target_hex")
        target = self.share_target if own is None else own.hex_number(64, 64)
        if target is not None:
            self._tighten(target)
        self.counts.share(str(entry["worker"]), self._share_hashes(target))
        self.miners.share(str(entry["worker"]), str(entry.get("kernel", "")), self._share_hashes(target))
        self.searched.plan((entry.get("plan") or {}).get("plan_hash_hex"))
        job = self._jobs.get(entry["job"])
        if job is not None:
            self.best.add(value, entry, job)

    def _shares_dropped(self, entry: Entry) -> None:
        self.dropped_shares += Field(entry, "shares_dropped")["shares"].integer(0, 2**53)

    # --- blocks --------------------------------------------------------------------------------------------------

    def _block_found(self, entry: Entry) -> None:
        self.blocks_found += 1
        self._block(entry).update(state="found", reward_sats=entry.get("reward_sats"), found_here=True)

    def _block_state(self, entry: Entry) -> None:
        self._block(entry).update(state=str(entry["state"]), detail=str(entry.get("detail", "")))

    def _block(self, entry: Entry) -> dict[str, Any]:
        hash_hex = str(entry["hash"])
        if hash_hex not in self.blocks and len(self.blocks) >= MAX_BLOCKS:
            del self.blocks[next(iter(self.blocks))]
        return self.blocks.setdefault(
            hash_hex, {"height": entry["height"], "hash": hash_hex, "state": "found", "found_here": False}
        )

    # --- the rest ------------------------------------------------------------------------------------------------

    def _latency(self, entry: Entry) -> None:
        what = str(entry["what"])
        if what in self.durations or len(self.durations) < MAX_NAMES:
            self.durations.setdefault(what, Durations()).add(float(entry["secs"]))

    def _system(self, entry: Entry) -> None:
        for name in ("cpu_percent", "memory_bytes", "temperature_c", "load"):
            if entry.get(name) is not None:
                self.system.setdefault(name, Range()).add(float(entry[name]))

    def _health(self, entry: Entry) -> None:
        name = str(entry["node"])
        if name not in self.nodes and len(self.nodes) >= MAX_NAMES:
            return
        node = self.nodes.setdefault(name, {"node": name, "samples": 0, "unusable_samples": 0})
        node["samples"] += 1
        node["unusable_samples"] += not entry["usable"]
        for key in ("problem", "height", "peers", "clock_offset_secs", "zmq", "ipc", "version", "rpc_secs"):
            node[key] = entry.get(key)

    def _template(self, entry: Entry) -> None:
        for what in ("rpc_secs", "parse_secs"):
            if entry.get(what):
                self.durations.setdefault(f"template_{what[:-5]}", Durations()).add(float(entry[what]))

    def _torn(self, entry: Entry) -> None:
        self.torn += int(entry["bytes"])

    def _lost(self, entry: Entry) -> None:
        self.lost += int(entry["entries"])
