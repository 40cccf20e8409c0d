"""The shares that go to one pool, and what it answers. What was not answered is sent again if the session resumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.header import Header
from solominer.engines.stratum.assignment import Assignment
from solominer.engines.stratum.client import Refusal
from solominer.errors import printable
from solominer.upstream.jobs import extranonce2_of
from solominer.upstream.talk import Talk
from solominer.work.events import ShareFound

MAX_WAITING = 1000
"""Shares that may wait for an answer; more are not sent, unless they are blocks."""

KEPT_SECS = 600.0
"""How long a share without an answer is kept to be sent again."""

VERDICTS = 20
"""The latest answers that decide whether a pool is left."""

_STALE_CODE, _DUPLICATE_CODE = 21, 22
_STALE_WORDS = ("stale", "job not found", "invalid-job-id")


class Outcome(StrEnum):
    """What became of a share."""

    ACCEPTED = "accepted"
    STALE = "stale"
    REJECTED = "rejected"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Sent:
    """A share on its way to a pool. `hash_le` is its header's, in internal order."""

    share: ShareFound
    assignment: Assignment
    hash_le: bytes
    is_block: bool
    at_mono: float
    again: bool = False

    @property
    def extranonce2(self) -> bytes:
        """As the pool gets it."""
        return extranonce2_of(self.assignment, self.share.extranonce)

    @property
    def version_bits(self) -> int:
        """The rolled bits, as the pool gets them."""
        return self.share.version & self.assignment.version_mask

    @property
    def header(self) -> Header:
        """The header that the pool makes of what it gets."""
        return self.assignment.header(self.extranonce2, self.version_bits, self.share.nonce)

    @property
    def hash_hex(self) -> str:
        """The hash as RPC shows it."""
        return to_rpc_hex(self.hash_le)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a pool answered to a share after `secs`; `reason` is its own, printable."""

    sent: Sent
    outcome: Outcome
    reason: str
    secs: float


class Submissions:
    """The shares of one pool, over all its connections. `mono` are monotonic seconds.

    `block_lost` hears of each block that is given up without an answer.
    """

    def __init__(self, block_lost: Callable[[Answered], None] = lambda answered: None) -> None:
        self._block_lost = block_lost
        self.counts = dict.fromkeys(Outcome, 0)
        self.latency_secs = 0.0
        self._waiting: dict[int, Sent] = {}
        self._kept: list[Sent] = []
        self._verdicts: list[Outcome] = []
        self._last_reason = ""

    def send(self, talk: Talk, sent: Sent) -> bytes:
        """The line that hands in a share; b"" if too many are without an answer."""
        if len(self._waiting) >= MAX_WAITING and not sent.is_block:
            self.counts[Outcome.UNANSWERED] += 1
            return b""
        request_id, line = talk.submit(sent.assignment, sent.extranonce2, sent.share.nonce, sent.version_bits)
        self._waiting[request_id] = sent
        return line

    def keep(self, sent: Sent) -> None:
        """Keep a share that cannot be sent now."""
        self._kept.append(sent)
        if len(self._kept) > MAX_WAITING:
            dropped = next((each for each in self._kept if not each.is_block), self._kept[0])
            self._kept.remove(dropped)
            self.counts[Outcome.UNANSWERED] += 1

    def answered(self, request_id: int, refusal: Refusal | None, mono: float) -> Answered | None:
        """The share that was answered; None if there is none."""
        sent = self._waiting.pop(request_id, None)
        if sent is None:
            return None
        outcome = _outcome(refusal, again=sent.again)
        reason = "" if refusal is None else printable(refusal.text, 100)
        self.counts[outcome] += 1
        self._verdicts = [*self._verdicts[1 - VERDICTS :], outcome]
        self._last_reason = reason or self._last_reason
        if not sent.again:
            self.latency_secs = mono - sent.at_mono
        return Answered(sent, outcome, reason, mono - sent.at_mono)

    def lost(self) -> None:
        """The connection ended: what waits for an answer is kept."""
        for sent in self._waiting.values():
            self.keep(sent)
        self._waiting.clear()
        self._verdicts.clear()

    def resumed(self, talk: Talk, mono: float) -> list[bytes]:
        """After a login: the lines that hand in kept shares again, if the session is the same; others are given up."""
        kept, self._kept = self._kept, []
        lines = []
        for sent in kept:
            if talk.resumes(sent.assignment) and mono - sent.at_mono < KEPT_SECS:
                again = Sent(sent.share, sent.assignment, sent.hash_le, sent.is_block, sent.at_mono, again=True)
                lines.append(self.send(talk, again))
            else:
                self._give_up(sent, "the connection was lost before an answer, and the pool gave another session", mono)
        return lines

    def end(self, mono: float) -> None:
        """The run ends: give up what has no answer."""
        self.lost()
        for sent in self._kept:
            self._give_up(sent, "the run ended before an answer", mono)
        self._kept.clear()

    @property
    def waiting(self) -> int:
        """Shares that wait for an answer, and blocks that could not be sent yet."""
        return len(self._waiting) + sum(sent.is_block for sent in self._kept)

    @property
    def complaint(self) -> str:
        """Why the pool should be left, because half of the latest shares or more were not accepted; or ""."""
        if len(self._verdicts) < VERDICTS:
            return ""
        refused = sum(outcome is not Outcome.ACCEPTED for outcome in self._verdicts)
        if 2 * refused < VERDICTS:
            return ""
        return f"it refused {refused} of the last {VERDICTS} shares, the last with {self._last_reason or 'no reason'!r}"

    def _give_up(self, sent: Sent, why: str, mono: float) -> None:
        self.counts[Outcome.UNANSWERED] += 1
        if sent.is_block:
            self._block_lost(Answered(sent, Outcome.UNANSWERED, why, mono - sent.at_mono))


def _outcome(refusal: Refusal | None, *, again: bool) -> Outcome:
    if refusal is None:
        return Outcome.ACCEPTED
    text = refusal.text.lower()
    if again and (refusal.code == _DUPLICATE_CODE or "duplicate" in text):
        return Outcome.ACCEPTED  # the first one had arrived
    stale = refusal.code == _STALE_CODE or any(word in text for word in _STALE_WORDS)
    return Outcome.STALE if stale else Outcome.REJECTED
