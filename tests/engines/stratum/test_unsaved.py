"""Answers to blocks that wait for the disk: as a state machine beside a plain list of what is still to come."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from solominer.engines.stratum.messages import StratumError
from solominer.engines.stratum.unsaved import SAVE_SECS, UnsavedBlocks

HASHES = st.integers(0, 3).map(lambda number: bytes([number]) * 32)


class Unsaved(RuleBasedStateMachine):
    """Every request is answered exactly once: true if its block is on disk or was never sent, else an error."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = UnsavedBlocks()
        self.now = 0.0
        self.since: dict[bytes, float] = {}
        self.waiting: dict[bytes, list[int]] = {}
        self.wanted: dict[int, bool] = {}
        self.answers: dict[int, bool] = {}
        self.requests = 0

    def _answered(self, request_id: bytes, error: StratumError | None) -> None:
        assert int(request_id) not in self.answers
        self.answers[int(request_id)] = error is None

    @rule(hash_le=HASHES)
    def sent(self, hash_le: bytes) -> None:
        self.blocks.add(hash_le, self.now)
        self.since.setdefault(hash_le, self.now)
        self.waiting.setdefault(hash_le, [])

    @rule(hash_le=HASHES)
    def asked(self, hash_le: bytes) -> None:
        self.requests += 1
        self.blocks.answer(hash_le, self._answered, b"%d" % self.requests)
        if hash_le in self.waiting:
            self.waiting[hash_le].append(self.requests)
        else:
            self.wanted[self.requests] = True

    @rule(hash_le=HASHES)
    def saved(self, hash_le: bytes) -> None:
        self.blocks.saved(hash_le)
        self._end(hash_le, saved=True)

    @rule(secs=st.sampled_from([0.5, 1.0, SAVE_SECS]))
    def time_passes(self, secs: float) -> None:
        self.now += secs
        self.blocks.tick(self.now)
        for hash_le in [each for each, since in self.since.items() if self.now - since >= SAVE_SECS]:
            self._end(hash_le, saved=False)

    def _end(self, hash_le: bytes, *, saved: bool) -> None:
        self.since.pop(hash_le, None)
        self.wanted |= dict.fromkeys(self.waiting.pop(hash_le, ()), saved)

    @invariant()
    def each_is_answered_once(self) -> None:
        assert self.answers == self.wanted


TestUnsaved = Unsaved.TestCase
