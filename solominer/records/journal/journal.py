"""The journal of found blocks: one human-readable folder per block.

    submissions/YYYY/MM/DD/HH/<height>-<hash>/
        block.hex           the argument of submitblock
        facts.json          header, coinbase, branch, job, template, worker and time
        submissions.jsonl   every submission and its raw answer, per node
        states.jsonl        the history of its states

Every call but `put` blocks until file and folder are fsynced; the daemon makes them in threads, in parallel with
submitting. Since closed hours never change, later states of a block go into a folder of the same name in their hour.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from solominer.chain.hashes import to_rpc_hex
from solominer.errors import JournalFailed, RecordsError
from solominer.records.files import fsync_folder, reason, sync_file
from solominer.records.ledger.jsonlines import pretty_json
from solominer.records.ledger.open_hour import OpenHour
from solominer.records.tree import Tree, atomic_write, make_folder, utc_text, write_all
from solominer.work.events import SubmitAnswered
from solominer.work.found import BlockState, FoundBlock

FINAL_STATES = frozenset({BlockState.MATURE, BlockState.REJECTED, BlockState.SUPERSEDED})
"""States after which a block is no longer tracked."""

FILES = ("block.hex", "facts.json", "submissions.jsonl", "states.jsonl")
"""The files in a block's folder."""


@dataclass(frozen=True, slots=True)
class Written:
    """The folder written to; `problem` says why the tree could not be written, if the fallback was used."""

    folder: Path
    problem: str = ""


class Journal:
    """Writes the journal. Thread-safe; each call may block as long as the disk does."""

    def __init__(self, tree: Tree, hours: OpenHour, fallback: Path | None = None) -> None:
        """`fallback` is a folder, preferably on another disk, for what cannot be written to the tree."""
        self._tree = tree
        self._hours = hours
        self._fallback = fallback
        self._synced: Path | None = None

    def put(self, block: FoundBlock) -> Written:
        """Write a found block without fsync, so that it survives this process. Raises JournalFailed."""
        return self._write_block(block, durable=False)

    def save(self, block: FoundBlock) -> Written:
        """Save a found block, fsynced. Raises JournalFailed if neither place can be written."""
        return self._write_block(block, durable=True)

    def _write_block(self, block: FoundBlock, *, durable: bool) -> Written:
        def write(folder: Path) -> None:
            if not folder.parent.is_dir():
                self._synced = None  # those above it may be made anew, too
            make_folder(folder, durable=durable)
            atomic_write(folder / "block.hex", block.block_hex.encode() + b"\n", durable=durable)
            atomic_write(folder / "facts.json", pretty_json(facts_of(block)), durable=durable)
            if durable:  # `put` may have created them without fsync
                self._sync_parents(folder)

        return self._write(folder_name(block.height, block.hash_le), write)

    def _sync_parents(self, folder: Path) -> None:
        """Fsync the folder that a block's is in, and once those above it, which stay as they are."""
        hour = folder.parent
        fsync_folder(hour)
        if hour == self._synced:
            return
        for parent in hour.parents:
            if parent.is_relative_to(self._tree.root) or (self._fallback and parent.is_relative_to(self._fallback)):
                fsync_folder(parent)
        self._synced = hour

    def note_submission(self, height: int, answered: SubmitAnswered) -> Written:
        """Save one node's answer to one submission. Raises JournalFailed."""
        line = {
            "at": answered.at,
            "utc": utc_text(answered.at.wall),
            "node": answered.node,
            "answer": answered.answer,
            "raw": answered.raw,
            "attempt": answered.attempt,
            "rpc_secs": round(answered.rpc_secs, 6),
        }
        return self._append(height, answered.hash_le, "submissions.jsonl", line)

    def note_state(
        self,
        height: int,
        hash_le: bytes,
        at: float,
        state: BlockState,
        *,
        confirmations: int | None = None,
        reason: str = "",
        final: bool | None = None,
    ) -> Written:
        """Save a change of state at `at` (Unix seconds); `final` defaults to FINAL_STATES. Raises JournalFailed."""
        line: dict[str, Any] = {"at": at, "utc": utc_text(at), "state": state}
        if confirmations is not None:
            line["confirmations"] = confirmations
        if reason:
            line["reason"] = reason
        line["final"] = state in FINAL_STATES if final is None else final
        return self._append(height, hash_le, "states.jsonl", line)

    def _append(self, height: int, hash_le: bytes, name: str, line: dict[str, Any]) -> Written:
        data = orjson.dumps(line) + b"\n"

        def write(folder: Path) -> None:
            make_folder(folder, durable=True)
            _append_durably(folder / name, data)

        return self._write(folder_name(height, hash_le), write)

    def _write(self, name: str, write: Callable[[Path], None]) -> Written:
        """Call `write` for the block's folder in the open hour, or in the fallback if that fails."""
        try:
            with self._hours.writing() as part:
                folder = self._tree.folder("submissions", part) / name
                for file in FILES:
                    self._tree.clear_the_way(folder / file)
                write(folder)
                return Written(folder)
        except (OSError, RecordsError) as first:
            problem = f"{name} could not be written to {self._tree.root}: {_said(first)}"
            if self._fallback is None:
                raise JournalFailed(problem, "make room on the disk, or set journal_fallback_dir") from first
        folder = self._fallback / name
        try:
            write(folder)
        except OSError as second:
            raise JournalFailed(
                f"{problem}; nor to {self._fallback}: {_said(second)}", "make room on either disk"
            ) from second
        return Written(folder, problem)


def _said(error: OSError | RecordsError) -> str:
    return reason(error) if isinstance(error, OSError) else str(error)


def folder_name(height: int, hash_le: bytes) -> str:
    """`<height>-<hash>`, the hash in RPC byte order."""
    return f"{height}-{to_rpc_hex(hash_le)}"


def facts_of(block: FoundBlock) -> dict[str, Any]:
    """Everything about a block except its transactions, as JSON values; read by `recovery.block_from_facts`."""
    return {
        "schema": "solominer-found-block/1",
        "hash": block.hash_hex,
        "height": block.height,
        "header_hex": block.header.hex(),
        "coinbase_hex": block.coinbase_hex,
        "merkle_branch_hex": [other.hex() for other in block.merkle_branch],
        "extranonce_hex": block.extranonce.hex(),
        "target_hex": f"{block.target:064x}",
        "reward_sats": block.reward_sats,
        "transaction_count": block.transaction_count,
        "found_at": block.found_at,
        "found_utc": utc_text(block.found_at),
        "job_id": block.job_id,
        "template_id": block.template_id,
        "worker": str(block.worker),
        "kernel": block.kernel,
    }


def _append_durably(path: Path, data: bytes) -> None:
    """Append one line in a single write, ending a previously torn line first; fsync."""
    is_new = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o644)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        if size and os.pread(handle, 1, size - 1) != b"\n":
            data = b"\n" + data
        write_all(handle, data)
        sync_file(handle)
    finally:
        os.close(handle)
    if is_new:
        fsync_folder(path.parent)
