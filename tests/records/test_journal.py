"""The journal of found blocks: on disk at once, readable again whatever a crash or a disk did to it."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from solominer.errors import JournalFailed, RecordsError
from solominer.records.journal.journal import Journal, folder_name
from solominer.records.journal.recovery import block_from_hex, open_blocks
from solominer.records.ledger.open_hour import OpenHour
from solominer.records.tree import Part, Tree
from solominer.work.found import BlockState, FoundBlock
from tests.data import load
from tests.records.builders import HOUR, answered, make_block, make_job


class Kit:
    """A tree with an open hour and a journal on it."""

    def __init__(self, folder: Path, fallback: Path | None = None) -> None:
        self.tree = Tree(folder)
        self.hours = OpenHour()
        self.hours.switch(Part.at(HOUR))
        self.fallback = fallback
        self.journal = Journal(self.tree, self.hours, fallback)

    def folder(self, block: FoundBlock, hour: int = 0) -> Path:
        """Where the block lies that was found `hour` hours after the first."""
        part = Part.at(HOUR + 3600 * hour)
        return self.tree.folder("submissions", part) / folder_name(block.height, block.hash_le)

    def replay(self) -> tuple[list[FoundBlock | None], list[str]]:
        """Blocks still open, and problems."""
        replay = open_blocks(self.tree, self.fallback)
        return [entry.block for entry in replay.blocks], replay.problems


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path / "regtest")


@pytest.fixture
def block() -> FoundBlock:
    return make_block(make_job())


def test_a_saved_block_comes_back_as_it_was(kit: Kit, block: FoundBlock) -> None:
    written = kit.journal.save(block)
    assert written.folder == kit.folder(block)
    assert written.problem == ""
    assert (written.folder / "block.hex").read_text() == block.block_hex + "\n"
    assert kit.replay() == ([block], [])


def test_answers_and_states_are_kept_in_order(kit: Kit, block: FoundBlock) -> None:
    kit.journal.save(block)
    kit.journal.note_submission(block.height, answered(block))
    kit.journal.note_submission(block.height, answered(block, raw="duplicate"))
    kit.journal.note_state(block.height, block.hash_le, HOUR + 3.0, BlockState.ACCEPTED, confirmations=1)
    entry = open_blocks(kit.tree).blocks[0]
    assert (entry.state, entry.confirmations, entry.submissions) == (BlockState.ACCEPTED, 1, 2)
    assert '"raw":"duplicate"' in (kit.folder(block) / "submissions.jsonl").read_text().splitlines()[1]


@pytest.mark.parametrize("state", [BlockState.MATURE, BlockState.REJECTED, BlockState.SUPERSEDED])
def test_final_blocks_are_not_replayed(kit: Kit, block: FoundBlock, state: BlockState) -> None:
    kit.journal.save(block)
    kit.journal.note_state(block.height, block.hash_le, HOUR + 3.0, state, reason="so")
    assert kit.replay() == ([], [])


def test_a_stale_block_is_replayed_until_somebody_says_that_it_is_final(kit: Kit, block: FoundBlock) -> None:
    kit.journal.save(block)
    kit.journal.note_state(block.height, block.hash_le, HOUR + 3.0, BlockState.STALE)
    assert kit.replay() == ([block], [])
    kit.journal.note_state(block.height, block.hash_le, HOUR + 4.0, BlockState.STALE, final=True)
    assert kit.replay() == ([], [])


def test_news_of_a_later_hour_is_filed_in_that_hour(kit: Kit, block: FoundBlock) -> None:
    kit.journal.save(block)
    before = {path: path.read_bytes() for path in kit.folder(block).iterdir()}
    kit.hours.switch(Part.at(HOUR + 3600))
    kit.journal.note_state(block.height, block.hash_le, HOUR + 3700.0, BlockState.CONFIRMED, confirmations=2)
    assert {path: path.read_bytes() for path in kit.folder(block).iterdir()} == before
    entry = open_blocks(kit.tree).blocks[0]
    assert entry.state is BlockState.CONFIRMED
    assert entry.folders == (kit.folder(block), kit.folder(block, 1))
    assert entry.block == block


@pytest.mark.parametrize("cut", [0, 1, 159, 161, -3])
def test_a_torn_block_file_is_noticed_and_an_empty_block_put_together_again(
    kit: Kit, block: FoundBlock, cut: int
) -> None:
    kit.journal.save(block)
    file = kit.folder(block) / "block.hex"
    file.write_text(file.read_text()[:cut])
    blocks, problems = kit.replay()
    assert blocks == [block]
    assert any("torn or changed" in problem for problem in problems)
    assert any("rebuilt from facts.json" in problem for problem in problems)


def test_a_lost_facts_file_is_made_up_for_from_the_block(kit: Kit, block: FoundBlock) -> None:
    kit.journal.save(block)
    (kit.folder(block) / "facts.json").write_text('{"hash":')
    blocks, problems = kit.replay()
    assert blocks[0] is not None
    for name in ("hash_le", "height", "header", "block_hex", "coinbase_hex", "merkle_branch", "target", "reward_sats"):
        assert getattr(blocks[0], name) == getattr(block, name)
    assert "facts.json: torn, or belongs to another block" in problems[0]


def test_a_block_with_transactions_comes_back_from_its_hex_alone() -> None:
    vector = load("template_and_block")
    block = block_from_hex(vector["block_hex"], vector["gbt"]["height"])
    assert block.hash_hex == vector["block_hash"]
    assert block.transaction_count == 28
    assert [other.hex() for other in block.merkle_branch] == vector["merkle_branch_for_coinbase_internal_order"]
    assert block.reward_sats == vector["gbt"]["coinbasevalue"]


def test_a_block_that_is_lost_altogether_is_told_and_not_fatal(kit: Kit, block: FoundBlock) -> None:
    kit.journal.save(block)
    (kit.folder(block) / "block.hex").unlink()
    (kit.folder(block) / "facts.json").write_bytes(b"\xff")
    blocks, problems = kit.replay()
    assert blocks == [None]
    assert any("no complete copy" in problem for problem in problems)


def test_foreign_and_torn_files_are_reported_and_left_alone(kit: Kit, block: FoundBlock) -> None:
    kit.journal.save(block)
    kit.journal.note_state(block.height, block.hash_le, HOUR + 3.0, BlockState.ACCEPTED)
    folder = kit.folder(block)
    with (folder / "states.jsonl").open("a") as file:
        file.write('{"state":"mat')
    (folder / "notes.txt").write_text("mine")
    (folder.parent / "README").write_text("mine")
    (kit.tree.root / "submissions" / "2026" / "11" / "21" / "99").mkdir()
    blocks, problems = kit.replay()
    assert blocks == [block]
    told = " / ".join(problems)
    for what in ("1 torn line", "notes.txt: not part", "README: not part", "99: not the folder of an hour"):
        assert what in told
    assert (folder / "notes.txt").exists()
    kit.journal.note_state(block.height, block.hash_le, HOUR + 5.0, BlockState.MATURE)
    assert kit.replay()[0] == []


def test_the_second_place_takes_what_the_first_does_not(tmp_path: Path, block: FoundBlock) -> None:
    kit = Kit(tmp_path / "regtest", tmp_path / "second")
    kit.tree.root.write_text("a file where the folder should be")
    written = kit.journal.save(block)
    assert written.folder == tmp_path / "second" / folder_name(block.height, block.hash_le)
    assert "could not be written" in written.problem
    kit.journal.note_state(block.height, block.hash_le, HOUR + 3.0, BlockState.ACCEPTED)
    kit.tree.root.unlink()
    entry = open_blocks(kit.tree, tmp_path / "second").blocks[0]
    assert (entry.block, entry.state) == (block, BlockState.ACCEPTED)


def test_a_copy_in_the_second_place_makes_up_for_a_torn_first(tmp_path: Path, block: FoundBlock) -> None:
    kit = Kit(tmp_path / "regtest", tmp_path / "second")
    kit.journal.save(block)
    for name in ("block.hex", "facts.json"):
        (kit.folder(block) / name).write_text("")
    spare = tmp_path / "second" / folder_name(block.height, block.hash_le)
    spare.mkdir(parents=True)
    (spare / "block.hex").write_text(block.block_hex)
    blocks, _ = kit.replay()
    assert blocks[0] is not None
    assert blocks[0].block_hex == block.block_hex


def test_no_place_at_all_raises_and_says_what_to_do(tmp_path: Path, block: FoundBlock) -> None:
    (tmp_path / "file").write_text("")
    for fallback in (None, tmp_path / "file" / "x"):
        kit = Kit(tmp_path / "file" / "regtest", fallback)
        with pytest.raises(JournalFailed, match="could not be written") as failed:
            kit.journal.save(block)
        assert "room" in failed.value.todo
        assert "Errno" not in failed.value.what


def test_writing_before_the_records_are_open_fails_without_harm(tmp_path: Path, block: FoundBlock) -> None:
    journal = Journal(Tree(tmp_path), OpenHour())
    with pytest.raises(JournalFailed, match="not open"):
        journal.save(block)


def test_sealing_waits_for_who_is_still_writing() -> None:
    hours = OpenHour()
    old, new = Part.at(HOUR), Part.at(HOUR + 3600)
    hours.switch(old)
    left = threading.Event()

    def seal() -> None:
        hours.wait_until_left(old)
        left.set()

    with hours.writing() as part:
        assert part == old
        hours.switch(new)
        with hours.writing() as other:
            assert other == new
        sealer = threading.Thread(target=seal)
        sealer.start()
        assert not left.is_set()
    assert left.wait(10)
    sealer.join()
    hours.switch(None)
    with pytest.raises(RecordsError, match="not open"):
        _ = hours.part


def test_a_block_that_was_only_put_comes_back_too(kit: Kit, block: FoundBlock) -> None:
    written = kit.journal.put(block)
    assert written.folder == kit.folder(block)
    assert kit.replay() == ([block], [])
    kit.journal.save(block)
    assert kit.replay() == ([block], [])


def test_saving_makes_durable_what_putting_made(kit: Kit, block: FoundBlock, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[Path] = set()
    monkeypatch.setattr("solominer.records.journal.journal.fsync_folder", synced.add)
    kit.journal.put(block)
    assert not synced
    folder = kit.journal.save(block).folder
    root = kit.tree.root
    assert synced >= {parent for parent in folder.parents if parent.is_relative_to(root)}
    assert all(parent.is_relative_to(root) for parent in synced)
    synced.clear()
    next_folder = kit.journal.save(replace(block, height=block.height + 1)).folder
    assert synced == {next_folder.parent}, "those above it have not changed"
    shutil.rmtree(root / "submissions")
    kit.journal.put(block)
    kit.journal.save(block)
    assert synced >= {parent for parent in folder.parents if parent.is_relative_to(root)}, "they were made anew"


def test_a_first_place_that_is_no_folder_is_a_problem_and_the_second_is_read(tmp_path: Path, block: FoundBlock) -> None:
    kit = Kit(tmp_path / "regtest", tmp_path / "second")
    kit.tree.root.write_text("in the way")
    assert "could not be written" in kit.journal.save(block).problem
    blocks, problems = kit.replay()
    assert blocks == [block]
    assert problems == []
