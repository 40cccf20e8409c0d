"""Blocks, and shares for a cluster's head, on their way to the disk, and the miners whose answers wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from solominer.engines.stratum.messages import StratumError

SAVE_SECS = 5.0
"""How long the answer to a block waits for the disk."""

NOT_SAVED = StratumError(20, "Not on disk yet, see the log of solominer")

Answer = Callable[[bytes, StratumError | None], None]
"""Takes the id of a request and why it is refused; None: it is accepted."""


@dataclass(slots=True)
class _Waiting:
    """Since when (monotonic seconds), and what is to be answered: how, and the id of the request."""

    since: float
    answers: list[tuple[Answer, bytes]] = field(default_factory=list)


class UnsavedBlocks:
    """A miner hears `true` for a block when the daemon has it on disk, or an error after SAVE_SECS.

    So a block that a miner counts as accepted outlives the end of either process, and a power cut.
    """

    def __init__(self) -> None:
        self._blocks: dict[bytes, _Waiting] = {}

    def add(self, hash_le: bytes, now: float) -> None:
        """A block is sent to the daemon."""
        self._blocks.setdefault(hash_le, _Waiting(now))

    def answer(self, hash_le: bytes, answer: Answer, request_id: bytes) -> None:
        """Answer a block once it is on disk; at once if it was never added."""
        waiting = self._blocks.get(hash_le)
        if waiting is None:
            answer(request_id, None)
        else:
            waiting.answers.append((answer, request_id))

    def saved(self, hash_le: bytes) -> None:
        """The daemon has it on disk."""
        waiting = self._blocks.pop(hash_le, None)
        for answer, request_id in waiting.answers if waiting else ():
            answer(request_id, None)

    def tick(self, now: float) -> None:
        """Time passed: answer those that have waited too long."""
        while self._blocks:
            hash_le, waiting = next(iter(self._blocks.items()))
            if now - waiting.since < SAVE_SECS:
                break
            del self._blocks[hash_le]
            for answer, request_id in waiting.answers:
                answer(request_id, NOT_SAVED)
