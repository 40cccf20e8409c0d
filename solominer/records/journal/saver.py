"""Saves found blocks to the journal while they are being submitted, and retries while the disk fails.

A block is first written without fsync, which takes about a millisecond, so that it survives a crash of this process.
Its first submission waits for that, at most PUT_SECS; the fsyncs run in parallel with submitting. A block that cannot
be written stays in memory, raises an alarm and is retried.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from solominer.errors import RecordsError
from solominer.records.journal.journal import Journal, Written
from solominer.records.journal.recovery import read_block_folder
from solominer.work.actions import SaveState, Severity
from solominer.work.events import SubmitAnswered
from solominer.work.found import FoundBlock

PUT_SECS = 0.05
"""Longest time that a block's first submission waits for `Journal.put`."""

AGAIN_SECS, AGAIN_MOST_SECS = 1.0, 30.0
"""First and longest wait before saving a block is retried."""

_log = logging.getLogger("solominer.daemon.daemon")


class BlockSaver:
    """Writes the journal from the event loop, in threads. `alarm` takes severity, code, message and what to do."""

    def __init__(self, journal: Journal, alarm: Callable[[Severity, str, str, str], None]) -> None:
        self._journal, self._alarm = journal, alarm
        self._folders: dict[bytes, list[Path]] = {}
        self._puts: dict[bytes, asyncio.Future[Written]] = {}
        self._unsaved: dict[bytes, FoundBlock] = {}
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="journal-put")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")  # one: lines stay in order

    def begin(self, block: FoundBlock) -> None:
        """Start writing the block without fsync; call this first."""
        put = asyncio.get_running_loop().run_in_executor(self._quick, self._journal.put, block)
        put.add_done_callback(lambda done: done.exception())  # `save` reports the same error
        self._puts[block.hash_le] = put

    async def until_put(self, hash_le: bytes) -> None:
        """Wait until the block would survive this process, at most PUT_SECS."""
        put = self._puts.get(hash_le)
        if put is not None:
            await asyncio.wait([put], timeout=PUT_SECS)

    async def save(self, block: FoundBlock) -> bool:
        """Save the block, fsynced; whether that succeeded."""
        put = self._puts.get(block.hash_le)
        if put is not None:
            await asyncio.wait([put])  # however long: its copy must not replace the durable one afterwards
            self._puts.pop(block.hash_le, None)
        written = await self._to_disk(lambda: self._journal.save(block), f"block {block.hash_hex}")
        if written is None:
            self._unsaved[block.hash_le] = block
            return False
        self.kept_in(block.hash_le, [written.folder])
        if self._unsaved.pop(block.hash_le, None) is not None:
            _log.warning("block %d %s is on disk now", block.height, block.hash_hex)
        return True

    async def save_later(self, block: FoundBlock) -> None:
        """Retry until it is saved."""
        wait_secs = AGAIN_SECS
        await asyncio.sleep(wait_secs)
        while not await self.save(block):
            wait_secs = min(2 * wait_secs, AGAIN_MOST_SECS)
            await asyncio.sleep(wait_secs)

    async def save_rest(self) -> None:
        """Before the program ends: try once more to save each block that is only in memory."""
        for block in list(self._unsaved.values()):
            await self.save(block)

    async def note_state(self, change: SaveState, at: float) -> None:
        """Save a change of state."""
        block = change.block
        await self._to_disk(
            lambda: self._journal.note_state(
                block.height,
                block.hash_le,
                at,
                change.state,
                confirmations=change.confirmations,
                reason=change.detail,
                final=change.final or None,
            ),
            f"state of block {block.hash_hex}",
        )

    async def note_answer(self, height: int, answered: SubmitAnswered) -> None:
        """Save a node's answer."""
        await self._to_disk(lambda: self._journal.note_submission(height, answered), "a node's answer")

    def kept_in(self, hash_le: bytes, folders: Iterable[Path]) -> None:
        """Remember a block's folders, so that it can be read again for a resubmission."""
        self._folders[hash_le] = list(folders)

    async def kept_hex(self, hash_le: bytes) -> str:
        """The block's hex from the journal; empty if no copy is complete."""
        return await asyncio.to_thread(self._read_hex, self._folders.get(hash_le, []))

    @staticmethod
    def _read_hex(folders: list[Path]) -> str:
        copies = (read_block_folder(folder) for folder in folders)
        return next((copy.block_hex for copy in copies if copy is not None), "")

    async def _to_disk(self, write: Callable[[], Written], what: str) -> Written | None:
        try:
            written = await asyncio.get_running_loop().run_in_executor(self._disk, write)
        except RecordsError as error:
            self._alarm(Severity.CRITICAL, "journal-failed", f"{what} is not on disk: {error.what}", error.todo)
            return None
        if written.problem:
            self._alarm(Severity.HIGH, "journal-fallback", f"{what} is in {written.folder}: {written.problem}", "")
        return written
