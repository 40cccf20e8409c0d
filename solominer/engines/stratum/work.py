"""What miners work on: a template as plain values, and the jobs made of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from solominer.chain.header import Header
from solominer.chain.target import DIFFICULTY_1_TARGET, decode_compact
from solominer.engines.stratum.reference import JobParts, ShareCandidate, header_of

EXTRANONCE1_SIZE, EXTRANONCE2_SIZE = 4, 8
EXTRANONCE_SIZE = EXTRANONCE1_SIZE + EXTRANONCE2_SIZE


class Split(NamedTuple):
    """How many bytes of an extranonce tell jobs apart, how many connections, and how many each miner searches."""

    jobs: int = 0
    connections: int = EXTRANONCE1_SIZE
    miner: int = EXTRANONCE2_SIZE


OWN_SPLIT = Split()
"""That of own coinbases, which have another place that tells jobs apart."""


def split_of(extranonce_size: int) -> Split:
    """The split of what a pool leaves, 4 to 12 bytes: room for 256 connections at least, for 2**24 from 8 bytes on."""
    connections = min(3, max(1, extranonce_size - 5))
    miner = min(4, extranonce_size - connections - 1)
    return Split(extranonce_size - connections - miner, connections, miner)


class PoolCoinbase(NamedTuple):
    """A pool's stripped coinbase, in halves around the extranonce that it leaves, and how that is split."""

    prefix: bytes
    suffix: bytes
    split: Split


@dataclass(frozen=True)
class Standing:
    """What the members of a group (scriptPubKeys in hex) have proven and what is carried over, when work was made.

    `number` is that of the account's last line; `members` are (member, work as decimal text, balance in satoshis).
    """

    number: int
    members: tuple[tuple[str, str, int], ...]

    @property
    def works(self) -> dict[str, int]:
        """Work in the window, of those who have any."""
        return {member: int(work) for member, work, _ in self.members if work != "0"}

    @property
    def balances(self) -> dict[str, int]:
        """What is carried over, of those who have any."""
        return {member: sats for member, _, sats in self.members if sats}


@dataclass(frozen=True, eq=False)
class Work:
    """One template for miners: all of a block but who is paid and the extranonce.

    Hashes in internal order, amounts in satoshis, times in Unix seconds. `work_id` is the daemon's name for it.
    Only version bits in `version_mask` may be rolled, and ntime within its bounds. `external_bytes` is what is kept
    elsewhere for it (transactions), counted against the limit of kept work. `outputs` are the configured payout,
    `group` is what a group's jobs pay by. Shares that meet `notable_target_le` (32 bytes, little-endian; empty: none)
    are recorded whole. Work of a pool, or of a cluster's head, has its coinbase in `pool`, which all miners get; what
    meets the notable target is what the pool wants, or the head. `origin` is what a node has of the head's job: then
    the answer to such a share waits until it is kept, as that to a block does.
    """

    work_id: int
    height: int
    prevhash_le: bytes
    version: int
    version_mask: int
    nbits: int
    ntime: int
    ntime_min: int
    ntime_max: int
    coinbase_value: int
    commitment: bytes
    merkle_branch: tuple[bytes, ...]
    coinbase_aux: bytes = b""
    tag: bytes = b""
    external_bytes: int = 0
    outputs: tuple[tuple[bytes, int], ...] = ()
    notable_target_le: bytes = b""
    group: Standing | None = None
    pool: PoolCoinbase | None = None
    origin: bytes = b""

    @property
    def split(self) -> Split:
        """How the extranonce is split."""
        return self.pool.split if self.pool else OWN_SPLIT

    @cached_property
    def target(self) -> int:
        """The network's target."""
        return decode_compact(self.nbits)

    @cached_property
    def notable_target(self) -> int:
        """`notable_target_le` as a number."""
        return int.from_bytes(self.notable_target_le, "little")

    @cached_property
    def difficulty(self) -> float:
        """The network's difficulty."""
        return DIFFICULTY_1_TARGET / self.target

    @cached_property
    def most_difficulty(self) -> float:
        """The highest that miners may work at: the network's, or the pool's."""
        if self.pool is None or self.origin or not self.notable_target:
            return self.difficulty
        return min(self.difficulty, DIFFICULTY_1_TARGET / self.notable_target)

    def rollable(self, mask: int | None) -> int:
        """The version bits that a client may roll which negotiated `mask`; None: it negotiated nothing."""
        return self.version_mask if mask is None else self.version_mask & mask

    @cached_property
    def base_version(self) -> int:
        """The version without rolled bits: whether a client replaces, adds or flips bits is then the same."""
        return self.version & ~self.version_mask

    @cached_property
    def notify_parts(self) -> tuple[bytes, bytes]:
        """The JSON of mining.notify that all jobs of this work share: the parent, and from the branch to ntime."""
        parent = swap_words(self.prevhash_le).hex()
        branch = ",".join(f'"{node.hex()}"' for node in self.merkle_branch)
        rest = f'[{branch}],"{self.base_version:08x}","{self.nbits:08x}","{self.ntime:08x}"'
        return parent.encode(), rest.encode()


class Audience(NamedTuple):
    """Whom a job is for: clients with the same payout script, or of the group with the same coinbase limit.

    With neither, those whose blocks pay what is configured.
    """

    script: bytes | None = None
    coinbase_bytes: int = 0


class Job:
    """Work with a coinbase of its own, announced under an id that is used once.

    `prefix` and `suffix` are the halves of the stripped coinbase around what connections and miners differ in. Shares
    are always hashed with 12 bytes between the halves: where a pool leaves fewer, the last of the prefix are among
    them. `prepared` belongs to the validator; `written` has what its announcements to many clients have in common.
    """

    __slots__ = ("audience", "coinbase_bytes", "job_id", "prefix", "prepared", "seq", "suffix", "work", "written")

    def __init__(self, seq: int, work: Work, audience: Audience, prefix: bytes, suffix: bytes) -> None:
        self.seq, self.work, self.audience = seq, work, audience
        self.job_id = job_id_of(seq)
        self.prefix, self.suffix = prefix, suffix
        self.coinbase_bytes = len(prefix) + work.split.connections + work.split.miner + len(suffix)
        """Length of the stripped coinbase."""
        self.prepared: Any = None
        self.written: dict[str, bytes] = {}

    @property
    def kept_bytes(self) -> int:
        """About how much memory it takes."""
        return 1024 + 4 * self.coinbase_bytes + 64 * len(self.work.merkle_branch)

    def parts(self) -> JobParts:
        """What its shares' hashes depend on."""
        work = self.work
        return JobParts(
            prefix=self.prefix[: self._head_at],
            suffix=self.suffix,
            extranonce_size=EXTRANONCE_SIZE,
            branch=work.merkle_branch,
            prevhash_le=work.prevhash_le,
            nbits=work.nbits,
            target=work.target,
        )

    def extranonce(self, extranonce1: bytes, extranonce2: bytes) -> bytes:
        """The 12 bytes of a connection with this extranonce1 (4 bytes, of which the last count)."""
        own = extranonce1[EXTRANONCE1_SIZE - self.work.split.connections :]
        return self.prefix[self._head_at :] + own + extranonce2

    @property
    def _head_at(self) -> int:
        return len(self.prefix) - (EXTRANONCE_SIZE - self.work.split.connections - self.work.split.miner)

    def header(self, share: ShareCandidate) -> Header:
        """The header of a share, by hashlib."""
        return header_of(self.parts(), share)

    def notify(self, clean: bool) -> bytes:
        """The mining.notify line; `clean` tells the client to drop its older jobs."""
        key = "clean" if clean else "notify"
        line = self.written.get(key)
        if line is None:
            parent, rest = self.work.notify_parts
            line = b'{"id":null,"method":"mining.notify","params":["%b","%b","%b","%b",%b,%b]}\n' % (
                self.job_id.encode(),
                parent,
                self.prefix.hex().encode(),
                self.suffix.hex().encode(),
                rest,
                b"true" if clean else b"false",
            )
            self.written[key] = line
        return line


def job_id_of(seq: int) -> str:
    """The id under which job number `seq` is announced."""
    return f"{seq:x}"


def seq_of(job_id: str) -> int | None:
    """The number of a job id, if this server could have made it."""
    try:
        seq = int(job_id, 16) if len(job_id) <= 16 else -1
    except ValueError:
        return None
    return seq if seq >= 0 and job_id_of(seq) == job_id else None


def swap_words(data: bytes) -> bytes:
    """Each group of four bytes reversed: the order in which Stratum shows the parent's hash."""
    return b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))
