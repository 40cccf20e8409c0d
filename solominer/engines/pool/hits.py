"""The headers of a group for a kernel, and what becomes of the hits that a kernel reports: nothing is believed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from solominer.chain.hashes import hash_to_int, sha256d
from solominer.engines.pool.job_slot import WORD_OF
from solominer.engines.pool.messages import Hit, Outbox, Share, Wrong
from solominer.engines.pool.walk import Group
from solominer.engines.pool.worker_job import WorkerJob

_PREFIX = struct.Struct("<I32s28s")
_TAIL = struct.Struct("<4sII")
_SHARES, _SUPPRESSED, _WRONG = (WORD_OF[name] for name in ("shares", "shares_suppressed", "wrong_hits"))

TAIL_AT = 64


def heads_of(job: WorkerJob, group: Group) -> list[bytes]:
    """The group's headers without nonce, 76 bytes, one per version; the last 12 bytes are the same in all."""
    root = job.merkle_root_le(group.extranonce2)
    rest = _TAIL.pack(root[28:], group.ntime, job.nbits)
    return [_PREFIX.pack(version, job.prevhash_le, root[:28]) + rest for version in group.versions]


class HitReporter:
    """Verifies one job's hits with hashlib, reports shares and wrong hits, and counts them.

    `parked`: a block was found with a job that asks to wait then.
    """

    def __init__(self, job: WorkerJob, counters: memoryview, outbox: Outbox) -> None:
        self.job = job
        self.parked = False
        self.target_word = job.share_target >> 224
        self._counters = counters
        self._outbox = outbox

    def take(
        self, group: Group, heads: list[bytes], hits: Iterable[list[int]], position: Callable[[int, int], int]
    ) -> None:
        """Hits as (version's index, nonce); `position` of them as in `Walk.position`. After a block, none is needed."""
        job, counters = self.job, self._counters
        for index, nonce in hits:
            if self.parked:
                counters[_SUPPRESSED] += 1
                continue
            value = hash_to_int(sha256d(heads[index] + nonce.to_bytes(4, "little")))
            extranonce = job.extranonce(group.extranonce2)
            hit = Hit(job.job_id, extranonce, group.versions[index], group.ntime, nonce, position(index, nonce))
            if value <= job.network_target:
                self._outbox.send(Share(hit, is_block=True))
                counters[_SHARES] += 1
                self.parked = job.park_on_block
            elif value >> 224 > self.target_word:
                self._outbox.offer(Wrong(hit))
                counters[_WRONG] += 1
            elif value <= job.share_target:  # a kernel compares only the top word
                sent = self._outbox.offer(Share(hit))
                counters[_SHARES if sent else _SUPPRESSED] += 1
