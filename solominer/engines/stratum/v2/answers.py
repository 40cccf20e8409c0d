"""What a miner hears of its shares."""

from __future__ import annotations

from collections.abc import Iterator
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
}
"""The specification's codes, and codes like them, for what is refused in V1's words."""

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


class Accepted:
    """Accepted shares of one channel that follow each other, and are answered together."""

    __slots__ = ("_channel_id", "_count", "_last", "_sum")

    def __init__(self) -> None:
        self._channel_id = self._last = self._count = 0
        self._sum = 0.0

    def add(self, channel_id: int, sequence: int, difficulty: float) -> Iterator[SubmitSharesSuccess]:
        """Another one; the answer to those before, if they are of another channel."""
        if channel_id != self._channel_id:
            yield from self.end()
            self._channel_id = channel_id
        self._last = sequence
        self._count += 1
        self._sum += difficulty

    def end(self) -> Iterator[SubmitSharesSuccess]:
        """The answer to all."""
        if self._count:
            yield SubmitSharesSuccess(self._channel_id, self._last, self._count, int(self._sum))
            self._count, self._sum = 0, 0.0
