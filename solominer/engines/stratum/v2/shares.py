"""The shares of a Stratum V2 connection: those that follow each other on a channel are checked and answered together.

Plain ones go through the batch, as those of V1 do (`plain_shares`); the others are claims, as they are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from solominer.engines.stratum import plain_shares
from solominer.engines.stratum.batch import Taken
from solominer.engines.stratum.messages import Errors, StratumError
from solominer.engines.stratum.native import ABOVE_TARGET, ACCEPTED, DUPLICATE, RECORD_JOB
from solominer.engines.stratum.plain_shares import Aimed
from solominer.engines.stratum.shares import Claim
from solominer.engines.stratum.v2.channel import MiningChannel
from solominer.engines.stratum.v2.frames import EXTENSION, Frame
from solominer.engines.stratum.v2.messages import (
    FORMS,
    SubmitSharesError,
    SubmitSharesExtended,
    SubmitSharesStandard,
    SubmitSharesSuccess,
    decode,
)

_CODES = {
    "Invalid JobID": "invalid-job-id",
    "Stale": "stale-share",
    "Duplicate": "duplicate-share",
    "Above target": "difficulty-too-low",
    "Ntime out of range": "invalid-timestamp",
    "Invalid version mask": "invalid-version",
    "Invalid nonce2 length": "invalid-extranonce-size",
    "Invalid channel": "invalid-channel-id",
}
"""The specification's codes, and codes like them, for what is refused in V1's words."""

NO_CHANNEL = StratumError(20, "Invalid channel")
"""A share is for a channel that is not open."""

_REQUEST = Struct("<2Id")


def refused(channel_id: int, sequence: int, error: StratumError) -> SubmitSharesError:
    """A share is not accepted."""
    return SubmitSharesError(channel_id, sequence, _CODES.get(error.text, error.text))


def request_of_block(channel_id: int, sequence: int, difficulty: float) -> bytes:
    """The request of a BlockAccepted: what its answer needs."""
    return _REQUEST.pack(channel_id, sequence, difficulty)


def answer_to_block(request: bytes, error: StratumError | None) -> SubmitSharesSuccess | SubmitSharesError:
    """The answer once the block is on disk, or `error` where it is not."""
    channel_id, sequence, difficulty = _REQUEST.unpack(request)
    if error is not None:
        return refused(channel_id, sequence, error)
    return SubmitSharesSuccess(channel_id, sequence, 1, int(difficulty))


class Answers:
    """The answers to shares of one channel; accepted ones that follow each other are answered together."""

    __slots__ = ("_channel_id", "_count", "_last", "_messages", "_sum")

    def __init__(self, channel_id: int) -> None:
        self._channel_id = channel_id
        self._messages: list[SubmitSharesSuccess | SubmitSharesError] = []
        self._last, self._count, self._sum = 0, 0, 0.0

    def accept(self, last_sequence: int, count: int, difficulty: float) -> None:
        """So many more are accepted, each of this difficulty."""
        self._last = last_sequence
        self._count += count
        self._sum += count * difficulty

    def refuse(self, sequence: int, error: StratumError) -> None:
        """Another one is not."""
        self._flush()
        self._messages.append(refused(self._channel_id, sequence, error))

    def messages(self) -> list[SubmitSharesSuccess | SubmitSharesError]:
        """What is to be sent."""
        self._flush()
        return self._messages

    def _flush(self) -> None:
        if self._count:
            self._messages.append(SubmitSharesSuccess(self._channel_id, self._last, self._count, int(self._sum)))
        self._count, self._sum = 0, 0.0


if TYPE_CHECKING:
    from solominer.engines.stratum.v2.session import V2Session

_KINDS = frozenset(FORMS[message].kind for message in (SubmitSharesStandard, SubmitSharesExtended))
_CHANNEL, _SEQUENCE, _JOB = slice(0, 4), slice(4, 8), slice(RECORD_JOB, RECORD_JOB + 4)
_ERRORS = {ABOVE_TARGET: Errors.ABOVE_TARGET, DUPLICATE: Errors.DUPLICATE}


class Run(NamedTuple):
    """Shares of one kind, size and channel that follow each other, as they were decrypted."""

    kind: int
    channel_id: int
    payloads: Sequence[bytes]

    @property
    def data(self) -> bytes:
        """All of them."""
        return b"".join(self.payloads)

    def behind(self, count: int) -> Run:
        """Those behind so many."""
        return self._replace(payloads=self.payloads[count:])


NONE = Run(0, 0, ())


def _number(payload: bytes, part: slice) -> int:
    return int.from_bytes(payload[part], "little")


def is_share(frame: Frame) -> bool:
    """Whether the frame hands in a share."""
    return frame[1] in _KINDS and not frame[0] & EXTENSION


def run_at(frames: Sequence[Frame], start: int) -> Run:
    """The shares from one on."""
    extension, kind, first = frames[start]
    size, channel = len(first), first[_CHANNEL]
    payloads = [first]
    for each, other, payload in islice(frames, start + 1, None):
        if other != kind or len(payload) != size or payload[_CHANNEL] != channel or each != extension:
            break
        payloads.append(payload)
    return Run(kind, int.from_bytes(channel, "little"), payloads)


def aimed_at(session: V2Session, run: Run) -> Aimed | None:
    """What the batch is to check the first of these shares for; None where they are not plain."""
    channel, batch, first = session.channels.get(run.channel_id), session.shared.checker.batch, run.payloads[0]
    if channel is None or batch is None or channel.share_form != (run.kind, len(first)):
        return None
    return channel.aim(batch, _number(first, _JOB))


def hand_in(session: V2Session, run: Run, now: float) -> None:
    """Check and answer shares. Raises DecodeError for one that cannot be read, once those before it are answered."""
    shared = session.shared
    answers, channel, moved = Answers(run.channel_id), session.channels.get(run.channel_id), False
    closed = session.gone.get(run.channel_id)
    try:
        while run.payloads and channel is not None and (aimed := aimed_at(session, run)) is not None:
            assert shared.checker.batch is not None
            seen = shared.checker.duplicates.on(aimed.job.work.prevhash_le)
            taken = shared.checker.batch.take(aimed.aim, seen, run.data, 0)
            if not taken.lines:
                break
            moved |= _count(channel, run, aimed, taken, answers, now)
            run = run.behind(taken.lines)
        moved |= _claim(session, channel or closed, run, answers, now)
    finally:
        session.tell(*answers.messages())
    if moved and channel is not None:
        session.announce(channel, now)


def took(session: V2Session, run: Run, aimed: Aimed, taken: Taken, now: float) -> None:
    """Count and answer those at the beginning of a run that were taken for `aimed`."""
    answers, channel = Answers(run.channel_id), session.channels[run.channel_id]
    moved = _count(channel, run, aimed, taken, answers, now)
    session.tell(*answers.messages())
    if moved:
        session.announce(channel, now)


def _count(channel: MiningChannel, run: Run, aimed: Aimed, taken: Taken, answers: Answers, now: float) -> bool:
    """Count what was taken; whether the channel is to have another difficulty."""
    if taken.accepted == taken.lines:
        answers.accept(_number(run.payloads[taken.lines - 1], _SEQUENCE), taken.lines, aimed.difficulty)
    else:
        for payload, code in zip(run.payloads, taken.replies, strict=False):
            sequence = _number(payload, _SEQUENCE)
            if code == ACCEPTED:
                answers.accept(sequence, 1, aimed.difficulty)
            else:
                answers.refuse(sequence, _ERRORS[code])
    return plain_shares.credit(aimed.worker, channel.difficulty, aimed.difficulty, taken, now)


def _claim(session: V2Session, channel: MiningChannel | None, run: Run, answers: Answers, now: float) -> bool:
    """Check them one by one; whether the channel is to have another difficulty."""
    claims: list[tuple[int, Claim]] = []
    moved = False
    try:
        for payload in run.payloads:
            share = decode(run.kind, payload)
            assert isinstance(share, SubmitSharesStandard | SubmitSharesExtended)
            if channel is None:
                answers.refuse(share.sequence_number, NO_CHANNEL)
                continue
            claim = channel.claim(share)
            if run.channel_id not in session.channels:  # it was closed: only a block counts
                claim = claim._replace(refusal=NO_CHANNEL)
            claims.append((share.sequence_number, claim))
    finally:
        if channel is not None and claims:
            moved = _check(session, channel, claims, answers, now)
    return moved


def _check(
    session: V2Session, channel: MiningChannel, claims: Sequence[tuple[int, Claim]], answers: Answers, now: float
) -> bool:
    moved, judged = False, session.judge([claim for _, claim in claims])
    for (sequence, claim), (error, hash_int, block_le) in zip(claims, judged, strict=True):
        if error is not None:
            answers.refuse(sequence, error)
            continue
        if block_le:
            request = request_of_block(channel.channel_id, sequence, claim.job_difficulty)
            session.answer_once_saved(request, block_le)
        else:
            answers.accept(sequence, 1, claim.job_difficulty)
        moved |= channel.difficulty.share(hash_int, now)
    return moved
