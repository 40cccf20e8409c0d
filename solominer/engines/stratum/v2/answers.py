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

    __slots__ = ("_last", "_sum", "channel_id", "count")

    def __init__(self, channel_id: int = 0) -> None:
        self.channel_id, self.count = channel_id, 0
        self._last, self._sum = 0, 0.0

    def add(self, sequence: int, difficulty: float) -> None:
        """Another one."""
        self._last = sequence
        self.count += 1
        self._sum += difficulty

    def answer(self) -> SubmitSharesSuccess:
        """The answer to all."""
        return SubmitSharesSuccess(self.channel_id, self._last, self.count, int(self._sum))
