"""The ledger: every job, tip, share, block, error and state change as one JSON line, in one file per hour.

Each line has `seq` (counts up over all hours), `at` (wall clock, Unix seconds), `up` (monotonic seconds since the start
of the run, unaffected by steps of the wall clock), `kind`, and the fields of its kind. All sums in the reports can be
recomputed from the ledger.

Most kinds come from the coordinator (`tip`, `template`, `job`, `block_found`, `block_answer`, `block_state`, ...). The
others are `open` and `close` of a run, `begin` of an hour, `work` (a job with everything needed to rehash its shares),
`share`, `pool_answer`, `pool_block` and `pool_lost` (of pools), `counters`, `miners` (sums of their shares),
`latency`, `system`, `health`, `error`, `control` (who paused, resumed or reconfigured the daemon), `cluster_lease` (a
node of a cluster gets its values of extranonce1), `cluster_lost`, `cluster_back` and `cluster_left`, and `torn` or
`lost` where lines are missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from solominer.chain.hashes import to_rpc_hex
from solominer.records.ledger.jsonlines import read_lines
from solominer.records.tree import Part, Tree
from solominer.work.actions import ShareSeen
from solominer.work.job import Job

FILE = "ledger.jsonl"

_MOST_SEQ = 2**53
_MOST_SECS = 1e12
_MOST_NUMBER = 2**62
_MOST_DEPTH = 8


def is_urgent(kind: str) -> bool:
    """Whether lines of this kind are written and fsynced at once; the others follow within a second."""
    return kind.startswith("block") or kind in ("pool_block", "error", "open", "close", "begin", "control")


def is_frame(entry: Mapping[str, Any]) -> bool:
    """Whether an entry has valid `seq`, `at`, `up` and `kind`; foreign lines in a ledger are ignored."""
    seq = entry.get("seq")
    if type(seq) is not int or not 0 <= seq < _MOST_SEQ or not isinstance(entry.get("kind"), str):
        return False
    if not _is_plain(entry, _MOST_DEPTH):
        return False
    times: list[Any] = [entry.get("at"), entry.get("up")]
    return all(type(secs) in (int, float) and abs(secs) < _MOST_SECS for secs in times)


def _is_plain(value: object, depth: int) -> bool:
    """Whether nesting and numbers are small enough for sums to remain valid JSON."""
    if isinstance(value, Mapping | list):
        members = value if isinstance(value, list) else value.values()
        return depth > 0 and all(_is_plain(member, depth - 1) for member in members)
    return not isinstance(value, int | float) or abs(value) < _MOST_NUMBER


def ledger_path(tree: Tree, part: Part) -> Path:
    """The part's ledger file."""
    return tree.folder("ledger", part) / FILE


def encode(entry: Mapping[str, Any]) -> bytes:
    """One line with its newline. Values without a JSON form are written as text."""
    try:
        return orjson.dumps(entry, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
    except (TypeError, ValueError):  # integers beyond 64 bits, lone surrogates
        return json.dumps(entry, default=_plain, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


def entries(tree: Tree, part: Part) -> Iterator[dict[str, Any]]:
    """The part's entries in order, without torn lines."""
    for line in read_lines(ledger_path(tree, part)):
        if line.value is not None:
            yield line.value


def work_fields(key: str, job: Job) -> dict[str, Any]:
    """A `work` line: with a `share` line it suffices to rebuild the share's header. Hex in memory byte order.

    A job of a pool has its name instead of the number of transactions, which the pool does not tell.
    """
    template = job.template
    source = {"pool": job.pool} if job.pool else {"transactions": len(template.transactions), "empty": job.is_empty}
    return {
        "job": key,
        "height": template.height,
        "prevhash": template.prevhash_hex,
        "nbits": f"{template.nbits:08x}",
        "coinbase_prefix_hex": job.coinbase.prefix.hex(),
        "coinbase_suffix_hex": job.coinbase.suffix.hex(),
        "merkle_branch_hex": [other.hex() for other in job.merkle_branch],
        "share_target_hex": f"{job.share_target:064x}",
        "template": template.template_id,
        "value_sats": template.coinbase_value,
        "fees_sats": template.fees_sats,
        **source,
    }


@dataclass(frozen=True, slots=True)
class ShareLine:
    """A verified share. `key` names its job in the ledger; `plan` is its position in the search plan, if any."""

    key: str
    seen: ShareSeen
    plan: Mapping[str, Any] | None = None

    def fields(self) -> dict[str, Any]:
        """The `share` line, with its target if that differs from the job's."""
        share, job = self.seen.share, self.seen.job
        target = max(share.share_target or job.share_target, job.template.target)
        fields = {
            "job": self.key,
            "worker": str(share.worker),
            "kernel": share.kernel,
            "extranonce_hex": share.extranonce.hex(),
            "version": share.version,
            "ntime": share.ntime,
            "nonce": share.nonce,
            "hash": to_rpc_hex(self.seen.hash_le),
            "stale": self.seen.stale,
        }
        if target != job.share_target:
            fields["share_target_hex"] = f"{target:064x}"
        return fields if self.plan is None else {**fields, "plan": dict(self.plan)}
