"""What became of every block of ours in a run, by the node's chain and the files on disk alone.

A block of ours is one that the daemon said it found, that came by in a submitblock, or that its journal names. Nothing
of the daemon's own code is used here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from solominer.errors import RpcFailed

_FOLDER = re.compile(r"(\d+)-([0-9a-f]{64})")
_UNKNOWN_BLOCK = -5


class Fate(StrEnum):
    """What became of a solved block."""

    ACTIVE = "active"  # in the active chain
    BEATEN = "beaten"  # the node has it, and another block at its height
    SIBLING = "sibling"  # not with the node, but a block of ours with the same parent is
    LOST = "lost"  # none of these: it never reached a chain that it might have won


@dataclass(frozen=True, slots=True)
class Kept:
    """A block in the journal: whether a copy of it is whole, and its last state."""

    height: int
    whole: bool
    prevhash_hex: str
    state: str


@dataclass(slots=True)
class RunResult:
    """What a run came to. `problems` is empty if it holds what is promised."""

    fates: Counter[Fate] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Chain(Protocol):
    """What is asked of the node."""

    def call(self, method: str, *params: object) -> object:
        """An RPC call; raises RpcFailed."""


def check_blocks(nodes: Sequence[Chain], solved: Collection[str], places: Sequence[Path]) -> RunResult:
    """Look up every hash of `solved`, and of the journals under `places`, on the nodes, which agree on the chain.

    Hashes are as RPC shows them. One node may have a block that the others could not take: on a branch that lost.
    """
    result = RunResult()
    journal = read_journal(places)
    confirmations = {hash_hex: _confirmations(nodes, hash_hex) for hash_hex in {*solved, *journal}}
    parents_held = {
        journal[hash_hex].prevhash_hex
        for hash_hex, depth in confirmations.items()
        if depth is not None and hash_hex in journal
    }
    for hash_hex, depth in confirmations.items():
        kept = journal.get(hash_hex)
        if kept is None:
            result.problems.append(f"{hash_hex} is not in the journal (confirmations {depth})")
        elif not kept.whole:
            result.problems.append(f"{hash_hex} has no complete copy in the journal (confirmations {depth})")
        fate = _fate(depth, kept, parents_held)
        result.fates[fate] += 1
        if fate is Fate.LOST:
            result.problems.append(f"{hash_hex} is lost: the node does not know it; the journal: {kept}")
        elif kept is not None:
            result.problems += _contradiction(hash_hex, fate, kept.state)
    return result


def _fate(depth: int | None, kept: Kept | None, parents_held: set[str]) -> Fate:
    if depth is None:
        return Fate.SIBLING if kept is not None and kept.prevhash_hex in parents_held else Fate.LOST
    return Fate.ACTIVE if depth >= 1 else Fate.BEATEN


def _contradiction(hash_hex: str, fate: Fate, state: str) -> Iterator[str]:
    """The journal's last word against the chain's. A daemon that was told to end may not have heard the last one."""
    possible = {
        Fate.ACTIVE: ("found", "sent", "accepted", "confirmed", "mature"),
        Fate.BEATEN: ("found", "sent", "accepted", "stale", "superseded"),
        Fate.SIBLING: ("superseded",),
    }[fate]
    if state not in possible:
        yield f"{hash_hex} is {fate}, the journal says {state!r}"


def read_journal(places: Sequence[Path]) -> dict[str, Kept]:
    """All blocks in journals under `places`, by hash."""
    folders: dict[str, list[Path]] = {}
    for place in places:
        for path in sorted(place.rglob("*-*")):
            if (match := _FOLDER.fullmatch(path.name)) and path.is_dir():
                folders.setdefault(match[2], []).append(path)
    return {hash_hex: _read(hash_hex, paths) for hash_hex, paths in folders.items()}


def _read(hash_hex: str, folders: list[Path]) -> Kept:
    prevhash_hex, state, whole = "", "found", False
    for folder in folders:
        header = _header(folder)
        if hashlib.sha256(hashlib.sha256(header).digest()).digest()[::-1].hex() == hash_hex:
            prevhash_hex = header[4:36][::-1].hex()
            whole = True
        state = next((line["state"] for line in reversed(list(_lines(folder / "states.jsonl")))), state)
    return Kept(int(folders[0].name.partition("-")[0]), whole, prevhash_hex, state)


def _header(folder: Path) -> bytes:
    """Of block.hex, or of facts.json where a test tore that; b"" where neither is whole."""
    try:
        return bytes.fromhex((folder / "block.hex").read_text())[:80]
    except (OSError, ValueError):
        pass
    try:
        return bytes.fromhex(json.loads((folder / "facts.json").read_text())["header_hex"])
    except (OSError, ValueError, KeyError):
        return b""


def _lines(path: Path) -> Iterator[dict[str, str]]:
    if not path.exists():
        return
    for text in path.read_text(errors="replace").splitlines():
        try:
            value = json.loads(text)
        except ValueError:  # torn by a test
            continue
        if isinstance(value, dict) and "state" in value:
            yield value


def _confirmations(nodes: Sequence[Chain], hash_hex: str) -> int | None:
    """The most that any node says; None where none knows it."""
    told = []
    for node in nodes:
        try:
            header = node.call("getblockheader", hash_hex)
        except RpcFailed as error:
            if error.code != _UNKNOWN_BLOCK:
                raise
            continue
        assert isinstance(header, dict)
        told.append(int(header["confirmations"]))
    return max(told, default=None)
