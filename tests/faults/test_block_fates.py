"""Blocks that are lost are found: the check is shown runs in which something is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from solominer.errors import RpcFailed
from tests.faults.block_fates import Fate, check_blocks

PARENT = bytes([9]) * 32


class Node:
    """A node that knows some blocks: confirmations by hash."""

    def __init__(self, **known: int) -> None:
        self.known: dict[str, int] = dict(known)

    def call(self, method: str, *params: object) -> object:
        """getblockheader alone."""
        assert method == "getblockheader"
        hash_hex = str(params[0])
        if hash_hex not in self.known:
            raise RpcFailed("Block not found", code=-5)
        return {"confirmations": self.known[hash_hex]}


def keep(place: Path, number: int, state: str = "", parent: bytes = PARENT) -> str:
    """Write a block into a journal as the daemon does; its hash as RPC shows it."""
    header = number.to_bytes(4, "little") + parent + bytes(44)
    hash_hex = hashlib.sha256(hashlib.sha256(header).digest()).digest()[::-1].hex()
    folder = place / "regtest/submissions/2026/11/21/08" / f"200-{hash_hex}"
    folder.mkdir(parents=True)
    (folder / "block.hex").write_text(header.hex() + "01\n")
    if state:
        (folder / "states.jsonl").write_text(json.dumps({"state": "sent"}) + "\n" + json.dumps({"state": state}) + "\n")
    return hash_hex


def test_blocks_that_are_active_or_beaten_are_fine(tmp_path: Path) -> None:
    active, beaten = keep(tmp_path, 1, "confirmed"), keep(tmp_path, 2, "stale")
    result = check_blocks([Node(**{active: 3, beaten: -1})], [active, beaten], [tmp_path])
    assert result.problems == []
    assert result.fates == {Fate.ACTIVE: 1, Fate.BEATEN: 1}


def test_a_block_that_the_node_does_not_know_is_lost(tmp_path: Path) -> None:
    hash_hex = keep(tmp_path, 1, "sent")
    result = check_blocks([Node()], [hash_hex], [tmp_path])
    assert result.fates == {Fate.LOST: 1}
    assert "is lost" in result.problems[0]


def test_a_block_of_the_journal_alone_counts_too(tmp_path: Path) -> None:
    keep(tmp_path, 1, "sent")
    assert check_blocks([Node()], [], [tmp_path]).fates == {Fate.LOST: 1}


def test_a_block_that_is_not_in_the_journal_is_a_problem(tmp_path: Path) -> None:
    hash_hex = "ab" * 32
    result = check_blocks([Node(**{hash_hex: 1})], [hash_hex], [tmp_path])
    assert "not in the journal" in result.problems[0]


@pytest.mark.parametrize("content", ["", "00" * 80, "zz"])
def test_a_torn_copy_is_none(tmp_path: Path, content: str) -> None:
    hash_hex = keep(tmp_path, 1, "confirmed")
    next(tmp_path.rglob("block.hex")).write_text(content)
    assert "no complete copy" in check_blocks([Node(**{hash_hex: 1})], [], [tmp_path]).problems[0]


def test_a_second_block_of_ours_on_the_same_parent_is_excused_by_the_first_alone(tmp_path: Path) -> None:
    first, second = keep(tmp_path, 1, "confirmed"), keep(tmp_path, 2, "superseded")
    assert check_blocks([Node(**{first: 1})], [], [tmp_path]).problems == []
    other = keep(tmp_path, 3, "superseded", parent=bytes(32))
    result = check_blocks([Node(**{first: 1})], [], [tmp_path])
    assert [other in problem for problem in result.problems] == [True]
    assert second not in result.problems[0]


@pytest.mark.parametrize(("depth", "state"), [(2, "stale"), (2, "rejected"), (2, "superseded"), (-1, "confirmed")])
def test_a_journal_that_says_otherwise_than_the_chain_is_a_problem(tmp_path: Path, depth: int, state: str) -> None:
    hash_hex = keep(tmp_path, 1, state)
    assert "the journal says" in check_blocks([Node(**{hash_hex: depth})], [], [tmp_path]).problems[0]


def test_any_node_may_have_it_and_the_best_word_counts(tmp_path: Path) -> None:
    here, there = keep(tmp_path, 1, "stale"), keep(tmp_path, 2, "confirmed", parent=bytes(32))
    result = check_blocks([Node(**{there: -1}), Node(**{here: -1, there: 4})], [], [tmp_path])
    assert result.problems == []
    assert result.fates == {Fate.BEATEN: 1, Fate.ACTIVE: 1}
