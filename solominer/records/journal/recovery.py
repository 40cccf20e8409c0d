"""Reads the journal at start, in whatever state a crash left it: which blocks are not final yet.

Nothing here is fatal. A torn `block.hex` fails its hash check and is replaced by the copy in another folder or, for a
block without transactions, rebuilt from `facts.json`. A lost `facts.json` is rebuilt from the block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from solominer.chain.hashes import coinbase_branch, from_rpc_hex, sha256d, to_rpc_hex
from solominer.chain.header import HEADER_SIZE, Header, assemble_block_hex
from solominer.chain.proof import check_block, read_block
from solominer.chain.target import decode_compact
from solominer.errors import BadValue, DecodeError
from solominer.records.evidence.state import as_written
from solominer.records.files import is_folder, read_bounded, shown
from solominer.records.journal.journal import FILES
from solominer.records.ledger.jsonlines import MALFORMED, parse_object, read_lines
from solominer.records.tree import TEMPORARY_SUFFIX, Tree, dated_folders
from solominer.work.found import BlockState, FoundBlock
from solominer.work.workers import WorkerId

FOLDER_NAME = re.compile(r"(\d{1,10})-([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One block of the journal, with its latest `state` and its number of recorded answers (`submissions`).

    `block` is None if no copy is complete. `folders` are all folders of the block; `problems` were found in them.
    """

    height: int
    hash_le: bytes
    block: FoundBlock | None
    state: BlockState
    confirmations: int | None
    final: bool
    submissions: int
    folders: tuple[Path, ...]
    problems: tuple[str, ...]


class Replay(NamedTuple):
    """The journal at start: blocks that are not final, and all problems found while reading."""

    blocks: list[JournalEntry]
    problems: list[str]


def open_blocks(tree: Tree, fallback: Path | None = None) -> Replay:
    """Blocks that are not final yet, by height. Reads the whole journal; bad files never raise."""
    replay = Replay([], [])
    for (height, hash_hex), folders in sorted(_block_folders(tree, fallback, replay.problems).items()):
        entry = _read_entry(height, hash_hex, folders)
        replay.problems.extend(entry.problems)
        if not entry.final:
            replay.blocks.append(entry)
    return replay


def _block_folders(tree: Tree, fallback: Path | None, problems: list[str]) -> dict[tuple[int, str], list[Path]]:
    """The folders of each block: those of the tree by hour, then the fallback's."""
    folders: dict[tuple[int, str], list[Path]] = {}
    for place in (*_hours(tree, problems), *([] if fallback is None else [fallback])):
        for path in _children(place, problems):
            match = FOLDER_NAME.fullmatch(path.name)
            if match is None or not is_folder(path):
                problems.append(f"{shown(path)}: not part of the journal, left alone")
                continue
            folders.setdefault((int(match[1]), match[2]), []).append(path)
    return folders


def _hours(tree: Tree, problems: list[str]) -> list[Path]:
    """The journal's hour folders, in the order in which they were written."""
    root = tree.root / "submissions"
    parts = as_written(tree, tree.parts("submissions"))
    known = {part.path for part in parts}
    problems += [
        f"{shown(root / path)}: not the folder of an hour" for path in dated_folders(root) if path not in known
    ]
    return [root / part.path for part in parts]


def _children(folder: Path, problems: list[str]) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{folder}: cannot be read: {error.strerror}")


def _read_entry(height: int, hash_hex: str, folders: list[Path]) -> JournalEntry:
    problems: list[str] = []
    states: list[dict[str, Any]] = []
    submissions = 0
    holders: list[Path] = []
    for folder in folders:
        names = {path.name for path in _children(folder, problems)}
        problems += [
            f"{shown(folder / name)}: not part of the journal, left alone"
            for name in sorted(names.difference(FILES))
            if not name.endswith(TEMPORARY_SUFFIX)
        ]
        if names & {"block.hex", "facts.json"}:
            holders.append(folder)
        states += _read_log(folder / "states.jsonl", problems)
        submissions += len(_read_log(folder / "submissions.jsonl", problems))
    known = [line for line in states if isinstance(line.get("state"), str) and line["state"] in set(BlockState)]
    last = known[-1] if known else {}
    final, confirmations = last.get("final") is True, last.get("confirmations")
    hash_le = from_rpc_hex(hash_hex)
    block = None if final else _first_whole(holders or folders, height, hash_le, problems)
    return JournalEntry(
        height=height,
        hash_le=hash_le,
        block=block,
        state=BlockState(last.get("state", BlockState.FOUND)),
        confirmations=confirmations if type(confirmations) is int else None,
        final=final,
        submissions=submissions,
        folders=tuple(folders),
        problems=tuple(problems),
    )


def read_block_folder(folder: Path) -> FoundBlock | None:
    """The block in one folder of the journal, or None if it is not complete there."""
    match = FOLDER_NAME.fullmatch(folder.name)
    return None if match is None else _read_block(folder, int(match[1]), from_rpc_hex(match[2]), [])


def _first_whole(folders: list[Path], height: int, hash_le: bytes, problems: list[str]) -> FoundBlock | None:
    for folder in folders:
        block = _read_block(folder, height, hash_le, problems)
        if block is not None:
            return block
    problems.append(f"{folders[0]}: no complete copy of the block is left")
    return None


def _read_log(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    try:
        lines = list(read_lines(path))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return []
    torn = sum(line.value is None and line.size > 1 for line in lines)
    if torn:
        problems.append(f"{path}: {torn} torn line(s), skipped")
    return [line.value for line in lines if line.value is not None]


def _read_block(folder: Path, height: int, hash_le: bytes, problems: list[str]) -> FoundBlock | None:
    """The block from `block.hex` and `facts.json`, or from one of them if that is enough."""
    facts = _read_facts(folder / "facts.json", hash_le, problems)
    raw = _read_hex(folder / "block.hex", hash_le, problems)
    try:
        if facts is not None:
            if raw is None and facts["transaction_count"] == 1:
                raw = assemble_block_hex(
                    bytes.fromhex(facts["header_hex"]), bytes.fromhex(facts["coinbase_hex"]), 0, ""
                )
                problems.append(f"{folder}/block.hex: rebuilt from facts.json (it has no transactions)")
            return None if raw is None else block_from_facts(facts, raw)
        return None if raw is None else block_from_hex(raw, height)
    except (*MALFORMED, DecodeError) as error:
        problems.append(f"{folder}: not written by the journal: {error!r:.200}")
        return None


def _read_facts(path: Path, hash_le: bytes, problems: list[str]) -> dict[str, Any] | None:
    try:
        facts = parse_object(read_bounded(path))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return None
    if facts is None or facts.get("hash") != to_rpc_hex(hash_le):
        problems.append(f"{path}: torn, or belongs to another block")
        return None
    return facts


def _read_hex(path: Path, hash_le: bytes, problems: list[str]) -> str | None:
    """The block's hex if it is complete: header hash, Merkle root and all transactions are checked."""
    try:
        text = read_bounded(path).decode("ascii").strip()
        raw = bytes.fromhex(text)
        if sha256d(raw[:HEADER_SIZE]) != hash_le:
            raise BadValue("its header's hash differs from the folder's name")
        check_block(raw)
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except (ValueError, DecodeError) as error:
        problems.append(f"{path}: torn or changed: {error}")
    else:
        return text
    return None


def block_from_facts(facts: dict[str, Any], block_hex: str) -> FoundBlock:
    """The inverse of `journal.facts_of`. Raises KeyError, TypeError or ValueError."""
    return FoundBlock(
        hash_le=from_rpc_hex(facts["hash"]),
        height=int(facts["height"]),
        header=bytes.fromhex(facts["header_hex"]),
        block_hex=block_hex,
        coinbase_hex=str(facts["coinbase_hex"]),
        merkle_branch=tuple(bytes.fromhex(other) for other in facts["merkle_branch_hex"]),
        extranonce=bytes.fromhex(facts["extranonce_hex"]),
        target=int(facts["target_hex"], 16),
        reward_sats=int(facts["reward_sats"]),
        transaction_count=int(facts["transaction_count"]),
        found_at=float(facts["found_at"]),
        job_id=int(facts["job_id"]),
        template_id=str(facts["template_id"]),
        worker=_worker(facts),
        kernel=str(facts["kernel"]),
    )


def _worker(facts: dict[str, Any]) -> WorkerId:
    """The worker that found it; older journals have separate fields for engine and number."""
    engine = facts.get("engine")
    return WorkerId.parse(str(facts["worker"])) if engine is None else WorkerId(str(engine), str(facts["worker"]))


def block_from_hex(block_hex: str, height: int) -> FoundBlock:
    """The block from its bytes alone, with worker and kernel `unknown`. Raises DecodeError."""
    raw = bytes.fromhex(block_hex)
    header = Header.unpack(raw[:HEADER_SIZE])
    coinbase, *others = read_block(raw)
    return FoundBlock(
        hash_le=header.hash_le(),
        height=height,
        header=raw[:HEADER_SIZE],
        block_hex=block_hex,
        coinbase_hex=coinbase.serialize().hex(),
        merkle_branch=coinbase_branch([tx.txid_le() for tx in others]),
        extranonce=b"",
        target=decode_compact(header.nbits),
        reward_sats=sum(out.value_sats for out in coinbase.outputs),
        transaction_count=1 + len(others),
        found_at=float(header.ntime),
        job_id=0,
        template_id="unknown",
        worker=WorkerId("unknown", "0"),
        kernel="unknown",
    )
