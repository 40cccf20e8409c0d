"""The ledger: every job, tip, share, block, error and change of state as one JSON line, a file per hour.

Each line has `seq` (counts up over all hours), `at` (the wall clock, Unix seconds), `up` (seconds of the monotonic
clock since the run began, so that a stepped wall clock shows and does no harm), `kind`, and the kind's own fields. The
files are the truth; everything else in the tree that counts something can be counted again from them.

Most kinds are the coordinator's own (`tip`, `template`, `job`, `block_found`, `block_answer`, `block_state`, ...). The
ones made here: `open` and `close` of a run, `begin` of an hour, `work` (a job with all that it takes to hash its shares
again), `share`, `counters`, `latency`, `system`, `health`, `error`, and `torn` or `lost` where lines are missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from solominer.chain.hashes import to_rpc_hex
from solominer.records.ledger.jsonlines import close_torn_line, read_lines
from solominer.records.tree import Part, Tree
from solominer.work.actions import ShareSeen
from solominer.work.job import Job

FILE = "ledger.jsonl"

_MOST_SEQ = 2**53
_MOST_SECS = 1e12
_MOST_NUMBER = 2**62
_MOST_DEPTH = 8


def is_urgent(kind: str) -> bool:
    """Whether lines of this kind are written and fsynced at once; the others are within a second."""
    return kind.startswith("block") or kind in ("error", "open", "close", "begin")


def is_frame(entry: Mapping[str, Any]) -> bool:
    """Whether number, times and kind of an entry can be ours: what others put into a ledger is left out."""
    seq = entry.get("seq")
    if type(seq) is not int or not 0 <= seq < _MOST_SEQ or not isinstance(entry.get("kind"), str):
        return False
    if not _is_plain(entry, _MOST_DEPTH):
        return False
    times = [entry.get("at"), entry.get("up")]
    return all(type(secs) in (int, float) and abs(secs) < _MOST_SECS for secs in times if secs is not None) and (
        None not in times
    )


def _is_plain(value: object, depth: int) -> bool:
    """Whether sums of it, and reports with it, can be written as JSON again."""
    if isinstance(value, Mapping | list):
        members = value if isinstance(value, list) else value.values()
        return depth > 0 and all(_is_plain(member, depth - 1) for member in members)
    return not isinstance(value, int | float) or abs(value) < _MOST_NUMBER


def ledger_path(tree: Tree, part: Part) -> Path:
    """The part's file."""
    return tree.folder("ledger", part) / FILE


def encode(entry: Mapping[str, Any]) -> bytes:
    """One line with its newline. Values that JSON has no form for are written as text."""
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
    """The part's entries in order; lines that are none (torn by a crash, then closed off) are left out."""
    for line in read_lines(ledger_path(tree, part)):
        if line.value is not None:
            yield line.value


def repair(tree: Tree, part: Part) -> int:
    """Close off a last line that a crash tore; how many bytes it has. Raises OSError."""
    return close_torn_line(ledger_path(tree, part))


def work_fields(key: str, job: Job) -> dict[str, Any]:
    """A `work` line: with it and a `share` line anyone can put the share's header together again. Hex as in memory."""
    template = job.template
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
        "transactions": len(template.transactions),
        "value_sats": template.coinbase_value,
        "fees_sats": template.fees_sats,
        "empty": job.is_empty,
    }


@dataclass(frozen=True, slots=True)
class ShareLine:
    """A share that was hashed again and holds, on its way into the ledger.

    `key` names its job in the ledger. `plan` says where in a search plan it lies, None outside one.
    """

    key: str
    seen: ShareSeen
    plan: Mapping[str, Any] | None = None

    def fields(self) -> dict[str, Any]:
        """The `share` line. It states its target where that is not the job's."""
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
