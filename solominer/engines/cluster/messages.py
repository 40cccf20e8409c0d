"""The messages between head and nodes.

Each begins with VERSION and its kind, one byte each; numbers are little-endian. A text is its length, one byte, and
UTF-8; a message ends where its last field does. What is anything else raises DecodeError.

| message | bytes |
| --- | --- |
| `JobMessage` | 26, and about 300 to 1,000 of a `WorkerJob`, which contains the whole coinbase |
| `ShareMessage` | 91 and two texts |
| `JoinRequest`, `Lease` | 18 and two texts; 22 and a text |
| `Beat` | 32, and 41 and two texts for each worker |
| `Refusal`, `Notice` | 2 and a text; 3 |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum

from solominer.chain.header import Header
from solominer.chain.serialize import Reader
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import BadValue, EngineError, printable
from solominer.work.events import ShareFound
from solominer.work.job import SEARCHED_SIZE
from solominer.work.workers import WorkerId

VERSION = 1
STATES = ("starting", "idle", "hashing", "paused", "parked", "exhausted", "lost")
"""The states of a worker, by number."""
INCARNATION_SIZE = 16
MOST_WORKERS = 4096
"""The most workers in a beat."""

_TEXT_BYTES = 255
_WHOLE = 10_000
_JOB = struct.Struct("<QQIHH")
_SHARE = struct.Struct("<?QQ12sIIIQ32s")
_BEAT = struct.Struct("<Q16sIH")
_WORKER = struct.Struct("<BQddQi")
_LEASE = struct.Struct("<QIII")
_NO_POSITION = (1 << 64) - 1
_MOST_CREDITED = 2.0**90

MINER = "stratum/"
"""What the names of a node's miners begin with."""


def name_of(worker: WorkerId) -> str:
    """Its name on this node: `cpu2`, `stratum/rack1.s19`, and `stratum` for the server of miners."""
    is_miner = worker.name and f"{worker.engine}/" == MINER
    return str(worker) if is_miner else f"{worker.engine}{worker.name}"


class _Kind(IntEnum):
    JOB = 1
    SHARE = 2
    BEAT = 3
    JOIN = 4
    LEASE = 5
    REFUSAL = 6
    NOTICE = 7


@dataclass(frozen=True, slots=True)
class JobMessage:
    """What all nodes do from now on: search `job`, or nothing (None).

    Messages are ordered by (run, number): a run's is greater than those of all runs before it, and `number` counts its
    messages. A node that has heard nothing newer for `valid_secs` stops. `intensity` is the fraction of a node's power
    to use, 0 to 1, sent in steps of 0.0001. The first 4 bytes of the job's extranonce prefix are each node's own.
    """

    run: int
    number: int
    job: WorkerJob | None
    valid_secs: int
    intensity: float = 1.0

    @property
    def order(self) -> tuple[int, int]:
        """Greater in a newer message."""
        return self.run, self.number

    def pack(self) -> bytes:
        """As bytes. Raises EngineError if a part of the job is too long."""
        job = b"" if self.job is None else self.job.pack()
        fixed = _JOB.pack(self.run, self.number, self.valid_secs, round(self.intensity * _WHOLE), len(job))
        return _head(_Kind.JOB) + fixed + job

    @classmethod
    def unpack(cls, data: bytes) -> JobMessage:
        """The inverse of `pack`."""
        reader = _reader(data, _Kind.JOB)
        run, number, valid_secs, intensity, size = _JOB.unpack(reader.take(_JOB.size))
        packed = reader.take(size)
        reader.finish()
        if intensity > _WHOLE:
            raise BadValue(f"an intensity of {intensity / _WHOLE}")
        try:
            job = WorkerJob.unpack(packed) if packed else None
        except EngineError as error:
            raise BadValue(error.what.replace("shared memory", "message")) from None
        return cls(run, number, job, valid_secs, intensity / _WHOLE)


@dataclass(frozen=True, slots=True)
class ShareMessage:
    """A header that a node's worker found; fields as in `events.ShareFound`. `worker` is its name there: `cpu2`.

    That of a miner is MINER and the name that it logged in with.
    """

    run: int
    job_id: int
    extranonce: bytes
    version: int
    ntime: int
    nonce: int
    is_block: bool
    worker: str
    kernel: str
    position: int | None = None
    share_target: int = 0

    @classmethod
    def of(cls, found: ShareFound, run: int, job_id: int, extranonce: bytes) -> ShareMessage:
        """What a worker or a miner of this node found for the head's job `job_id` of that run."""
        return cls(
            run,
            job_id,
            extranonce,
            found.version,
            found.ntime,
            found.nonce,
            found.is_block,
            name_of(found.worker),
            found.kernel,
            found.position,
            found.share_target,
        )

    @property
    def is_awaited(self) -> bool:
        """Whether a miner waits for the answer to it, which leaves when it is on a disk."""
        return self.worker.startswith(MINER)

    @property
    def key(self) -> tuple[int, int, bytes, int, int, int]:
        """What tells it from all other headers."""
        return self.run, self.job_id, self.extranonce, self.version, self.ntime, self.nonce

    @property
    def message_id(self) -> str:
        """The same for each copy of it: the server keeps one."""
        return f"{self.run:x}-{self.job_id:x}-{self.extranonce.hex()}-{self.version:x}-{self.ntime:x}-{self.nonce:x}"

    def header(self, job: WorkerJob) -> Header:
        """The header, of a share of this job."""
        own = replace(job, extranonce_prefix=self.extranonce[:-SEARCHED_SIZE])
        root = own.merkle_root_le(int.from_bytes(self.extranonce[-SEARCHED_SIZE:]))
        return Header(self.version, job.prevhash_le, root, self.ntime, job.nbits, self.nonce)

    def pack(self) -> bytes:
        """As bytes."""
        position = _NO_POSITION if self.position is None else self.position
        fixed = _SHARE.pack(
            self.is_block,
            self.run,
            self.job_id,
            self.extranonce,
            self.version,
            self.ntime,
            self.nonce,
            position,
            self.share_target.to_bytes(32, "little"),
        )
        return _head(_Kind.SHARE) + fixed + _text(self.worker) + _text(self.kernel)

    @classmethod
    def unpack(cls, data: bytes) -> ShareMessage:
        """The inverse of `pack`."""
        reader = _reader(data, _Kind.SHARE)
        is_block, run, job_id, extranonce, version, ntime, nonce, position, target = _SHARE.unpack(
            reader.take(_SHARE.size)
        )
        worker, kernel = _read_name(reader), _read_text(reader)
        reader.finish()
        place, share_target = None if position == _NO_POSITION else position, int.from_bytes(target, "little")
        return cls(run, job_id, extranonce, version, ntime, nonce, is_block, worker, kernel, place, share_target)


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """A node's worker: `hashes` and `shares` since the lease, `millidegrees` of its device (0: none).

    `hashes` were counted by a kernel, `credited` ones are estimated from a miner's shares: one of the two is 0.
    """

    name: str
    kernel: str
    state: str
    hashes: int
    rate_hps: float
    shares: int
    millidegrees: int = 0
    credited: float = 0.0

    @property
    def done(self) -> float:
        """Counted or credited hashes."""
        return self.hashes + self.credited


@dataclass(frozen=True, slots=True)
class Beat:
    """A node's sign of life, under the lease of `run` that begins at `first`. Its last one has no workers."""

    run: int
    incarnation: bytes
    first: int
    workers: tuple[WorkerBeat, ...]

    def pack(self) -> bytes:
        """As bytes."""
        parts = [_head(_Kind.BEAT), _BEAT.pack(self.run, self.incarnation, self.first, len(self.workers))]
        for each in self.workers:
            state = STATES.index(each.state)
            parts.append(_WORKER.pack(state, each.hashes, each.credited, each.rate_hps, each.shares, each.millidegrees))
            parts += (_text(each.name), _text(each.kernel))
        return b"".join(parts)

    @classmethod
    def unpack(cls, data: bytes) -> Beat:
        """The inverse of `pack`."""
        reader = _reader(data, _Kind.BEAT)
        run, incarnation, first, count = _BEAT.unpack(reader.take(_BEAT.size))
        if count > MOST_WORKERS:
            raise BadValue(f"a beat of {count} workers")
        workers = tuple(_read_worker(reader) for _ in range(count))
        reader.finish()
        return cls(run, incarnation, first, workers)


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """The subject's node wants a lease. `incarnation` is random and the same until the node's process ends."""

    incarnation: bytes
    network: str
    program: str

    def pack(self) -> bytes:
        """As bytes."""
        return _head(_Kind.JOIN) + self.incarnation + _text(self.network) + _text(self.program)

    @classmethod
    def unpack(cls, data: bytes) -> JoinRequest:
        """The inverse of `pack`."""
        reader = _reader(data, _Kind.JOIN)
        incarnation = reader.take(INCARNATION_SIZE)
        request = cls(incarnation, _read_text(reader), _read_text(reader))
        reader.finish()
        return request


@dataclass(frozen=True, slots=True)
class Lease:
    """A node's own `count` values of extranonce1 from `first` on, in this run; a beat each `beat_secs` (kept in ms)."""

    run: int
    first: int
    count: int
    beat_secs: float
    network: str

    def pack(self) -> bytes:
        """As bytes."""
        fixed = _LEASE.pack(self.run, self.first, self.count, round(self.beat_secs * 1000))
        return _head(_Kind.LEASE) + fixed + _text(self.network)

    @classmethod
    def unpack(cls, data: bytes) -> Lease:
        """The inverse of `pack`."""
        reader = _reader(data, _Kind.LEASE)
        run, first, count, beat_ms = _LEASE.unpack(reader.take(_LEASE.size))
        lease = cls(run, first, count, beat_ms / 1000, _read_text(reader))
        reader.finish()
        if not count or not beat_ms:
            raise BadValue("a lease of nothing")
        return lease


@dataclass(frozen=True, slots=True)
class Refusal:
    """No lease, and why."""

    reason: str

    def pack(self) -> bytes:
        """As bytes."""
        return _head(_Kind.REFUSAL) + _text(self.reason)


def answer_to_join(data: bytes) -> Lease | Refusal:
    """What the head answered."""
    if data[1:2] != bytes((_Kind.REFUSAL,)):
        return Lease.unpack(data)
    reader = _reader(data, _Kind.REFUSAL)
    refusal = Refusal(_read_text(reader))
    reader.finish()
    return refusal


class Notice(IntEnum):
    """What concerns one node."""

    DRAIN = 1  # send what there is, and end

    def pack(self) -> bytes:
        """As bytes."""
        return _head(_Kind.NOTICE) + bytes((self,))

    @classmethod
    def unpack(cls, data: bytes) -> Notice:
        """The inverse of `pack`."""
        reader = _reader(data, _Kind.NOTICE)
        (number,) = reader.take(1)
        reader.finish()
        try:
            return cls(number)
        except ValueError:
            raise BadValue(f"an unknown notice, {number}") from None


def own_job(job: WorkerJob, extranonce1: bytes) -> WorkerJob:
    """The job for the owner of this extranonce1."""
    return replace(job, extranonce_prefix=extranonce1 + job.extranonce_prefix[len(extranonce1) :])


def _head(kind: _Kind) -> bytes:
    return bytes((VERSION, kind))


def _reader(data: bytes, kind: _Kind) -> Reader:
    reader = Reader(data)
    version, found = reader.take(2)
    if version != VERSION:
        raise BadValue(
            f"a message of version {version}, and this program knows version {VERSION}",
            "use the same version of solominer on the head and on all nodes",
        )
    if found != kind:
        raise BadValue(f"a message of kind {found} in the place of a {kind.name.lower()}")
    return reader


def _text(text: str) -> bytes:
    data = text.encode()
    while len(data) > _TEXT_BYTES:
        text = text[:-1]
        data = text.encode()
    return bytes((len(data),)) + data


def _read_text(reader: Reader) -> str:
    (size,) = reader.take(1)
    try:
        return printable(reader.take(size).decode())
    except UnicodeDecodeError:
        raise BadValue("a text that is not UTF-8") from None


def _read_name(reader: Reader) -> str:
    """A worker's name: it becomes a part of a WorkerId."""
    name = _read_text(reader)
    own = name.removeprefix(MINER)
    if not own or not own.isascii() or not (own.isprintable() if own is not name else own.isalnum()):
        raise BadValue("a worker's name that is not made of letters and digits")
    return name


def _read_worker(reader: Reader) -> WorkerBeat:
    state, hashes, credited, rate_hps, shares, millidegrees = _WORKER.unpack(reader.take(_WORKER.size))
    if state >= len(STATES):
        raise BadValue(f"an unknown state of a worker, {state}")
    if not 0 <= rate_hps < 1e30:  # nor NaN
        raise BadValue(f"a hash rate of {rate_hps}")
    if not 0 <= credited < _MOST_CREDITED:
        raise BadValue(f"{credited} credited hashes")
    name = _read_name(reader)
    return WorkerBeat(name, _read_text(reader), STATES[state], hashes, rate_hps, shares, millidegrees, credited)
