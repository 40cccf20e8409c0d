"""What a miner hears of its shares."""

from __future__ import annotations

from struct import Struct

from solominer.engines.stratum.messages import StratumError
from solominer.engines.stratum.v2.messages import SubmitSharesError, SubmitSharesSuccess

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
