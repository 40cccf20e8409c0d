"""Packets of shares without a Python object for each share: read, checked and answered by compiled code.

Only the plain case is done here: a mining.submit in the form that clients send, of a job on the present tip. Any other
line, and any share that is a block, worth a record, or refused for another reason than its hash, is left to the
session, one line at a time; so this decides nothing that the session would decide otherwise.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from solominer.engines.stratum.duplicates import Seen
from solominer.engines.stratum.native import COLUMNS, JOB_LEN, PACKET, REPLY_BYTES, USER_AT, address
from solominer.engines.stratum.reference import MAX_BATCH
from solominer.engines.stratum.validate import Prepared, Validator
from solominer.engines.stratum.work import Work
from solominer.work.miners import NO_HASH

MAX_PACKETS, MAX_BYTES = 128, 16384
"""Of packets that are taken at once: their shares are fewer than MAX_BATCH."""

_PACKET = Struct("=3q")
_TAKEN = Struct("=q16x5q32s")
_PACKET_BYTES = _TAKEN.size


class Taken(NamedTuple):
    """Shares at the beginning of a packet: how many lines, where the next one begins, and what became of them.

    `replies` are the answers; so many shares were accepted, so many above their target, and the others duplicates.
    """

    lines: int
    next_at: int
    replies: bytes
    accepted: int
    above: int
    best_hash: int


NOTHING_TAKEN = Taken(0, 0, b"", 0, 0, NO_HASH)


class Aim:
    """What the shares of one worker and job must meet on one connection; `target` is theirs.

    `names` are what they are handed in with: username and job id, or channel and job in Stratum V2.
    """

    __slots__ = ("_kept", "address", "names")

    def __init__(
        self,
        prepared: Prepared,
        names: tuple[bytes, bytes],
        extranonce1: bytes,
        work: Work,
        target: int,
        *,
        version_mask: int,
        record_bytes: int = 0,
    ) -> None:
        self.names, (user, job_id) = names, names
        extranonce = int.from_bytes(extranonce1, "little")
        times, sizes = (work.ntime_min, work.ntime_max), (len(user), len(job_id), record_bytes)
        bounds = array("q", (extranonce, work.base_version, version_mask, *times, *sizes))
        targets = array("I", target.to_bytes(32, "little") + work.notable_target.to_bytes(32, "little"))
        joined = array("B", user + job_id)
        addresses = address(bounds), prepared.address, address(targets), prepared.scratch_at, address(joined)
        parts = array("q", addresses)
        self._kept = bounds, targets, joined, parts, prepared
        self.address = address(parts)


class Packet(NamedTuple):
    """Bytes from one connection, and what their shares are expected to meet; None: no share is taken."""

    data: bytes
    aim: Aim | None


class Batch:
    """Takes the plain shares of packets; `validator` hashes them. One per thread."""

    def __init__(self, validator: Validator) -> None:
        self.validator, self._native = validator, validator.native
        self._shares, self._results = validator.shares_at, validator.results_at
        self._rows = array("q", [0]) * (MAX_BATCH * COLUMNS)
        self._replies = array("B", [0]) * (MAX_BATCH * REPLY_BYTES)
        self._packets = array("q", [0]) * (MAX_PACKETS * PACKET)
        self._codes = array("B", [0]) * MAX_BATCH
        self._rows_at, self._codes_at, self._out, self._packets_at = map(
            address, (self._rows, self._codes, self._replies, self._packets)
        )
        self._packets_bytes, self._replies_bytes = memoryview(self._packets).cast("B"), memoryview(self._replies)

    def take(self, aim: Aim, seen: Seen, data: bytes, at: int, most: int = MAX_BATCH) -> Taken:
        """Check and answer up to `most` shares from place `at` on, up to the first that is special or not for `aim`."""
        _PACKET.pack_into(self._packets, 0, at, len(data), aim.address)
        return self._take(seen, data, 1, most)[0]

    def take_each(self, packets: Sequence[Packet], seen: Seen) -> list[Taken]:
        """The same with whole packets, at most MAX_PACKETS of MAX_BYTES in all; places are those in each packet."""
        at = 0
        for number, (data, aim) in enumerate(packets):
            end = at + len(data)
            _PACKET.pack_into(self._packets, number * _PACKET_BYTES, at, end, aim.address if aim is not None else 0)
            at = end
        return self._take(seen, b"".join([data for data, _ in packets]), len(packets), MAX_BATCH)

    def _take(self, seen: Seen, data: bytes, count: int, most: int) -> list[Taken]:
        self._native.take(
            data, self._packets_at, count, most, self._rows_at, self._shares, self._results, self._codes_at,
            seen.directory_at, len(seen.tables), seen.room, self._out,
        )  # fmt: skip
        seen.used(self._native.results[0])
        taken, sent, replies = [], 0, self._replies_bytes
        for start, lines, after, size, accepted, above, best in _TAKEN.iter_unpack(
            self._packets_bytes[: count * _PACKET_BYTES]
        ):
            if lines:
                best_hash = int.from_bytes(best, "little") if accepted else NO_HASH
                told = bytes(replies[sent : sent + size])
                sent += size
                taken.append(Taken(lines, after - start, told, accepted, above, best_hash))
            else:
                taken.append(NOTHING_TAKEN)
        return taken

    def names(self, data: bytes, at: int) -> tuple[bytes, bytes] | None:
        """Username and job id of the share in the line at place `at`; None if none is there in the usual form."""
        self._native.line(data, at, len(data), self._rows_at)
        if self._native.results[0] < 0:
            return None
        user_at, user_len, job_at, job_len = self._rows[USER_AT : JOB_LEN + 1]
        return data[user_at : user_at + user_len], data[job_at : job_at + job_len]
