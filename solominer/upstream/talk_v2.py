"""What is said with a pool, in Stratum V2: one extended channel. Its packages are those of the extra `stratum2`."""

from __future__ import annotations

import math
from dataclasses import replace

from solominer.chain.target import DIFFICULTY_1_TARGET, target_from_difficulty
from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment, ServerJob
from solominer.engines.stratum.client import JobArrived, Refusal
from solominer.engines.stratum.v2.certificate import parse_key
from solominer.engines.stratum.v2.client import ClientChannel, HeaderWork, V2Client
from solominer.engines.stratum.v2.messages import (
    CloseChannel,
    Message,
    NewExtendedMiningJob,
    OpenExtendedMiningChannel,
    OpenExtendedMiningChannelSuccess,
    OpenMiningChannelError,
    Reconnect,
    SetNewPrevHash,
    SetupConnection,
    SetupConnectionError,
    SetupConnectionSuccess,
    SubmitSharesError,
    SubmitSharesExtended,
    SubmitSharesSuccess,
    UpdateChannel,
)
from solominer.errors import BadValue, DecodeError, printable
from solominer.upstream.talk import AGENT, Heard, LoggedIn, Redirect, ShareAnswered, lost
from solominer.work.template import BIP320_MASK

EXTRANONCE_SIZE = 8
"""Bytes of extranonce that are asked for."""

_ANY_TARGET = b"\xff" * 32
_REQUIRES_VERSION_ROLLING = 1 << 2


class V2Talk:
    """See the module. `place` is where we are connected. Raises PoolError if the authority key cannot be read."""

    def __init__(self, pool: PoolConfig, place: tuple[str, int]) -> None:
        self._pool, self._place = pool, place
        try:
            self._client = V2Client(parse_key(pool.authority_key))
        except BadValue as error:
            raise lost(pool, error.what, "write the URL as stratum2+tcp://HOST:PORT/AUTHORITY_KEY") from None
        self._begun = False
        self._channel_id: int | None = None
        self._sequence = 0
        self._waiting: list[int] = []

    session_id = ""
    """Sessions of V2 cannot be resumed."""

    def begin(self) -> bytes:
        """See Talk."""
        return self._client.act1

    def receive(self, data: bytes) -> tuple[list[Heard], bytes]:
        """See Talk."""
        try:
            messages = self._client.receive(data)
        except DecodeError as error:
            raise lost(self._pool, error.what, error.todo or "check the authority key in the URL") from None
        heard: list[Heard] = []
        reply = b""
        if self._client.is_secure and not self._begun:
            self._begun = True
            host, port = self._place
            flags = _REQUIRES_VERSION_ROLLING
            reply += self._client.sealed(SetupConnection(0, 2, 2, flags, host, port, "solominer", "", AGENT, ""))
        for message in messages:
            reply += self._handle(message, heard)
        return heard, reply

    def submit(self, assignment: Assignment, extranonce2: bytes, nonce: int, bits: int) -> tuple[int, bytes]:
        """See Talk."""
        assert self._channel_id is not None
        job, mask = assignment.job, assignment.version_mask
        self._sequence += 1
        self._waiting.append(self._sequence)
        version = job.version & ~mask | bits & mask
        share = SubmitSharesExtended(
            self._channel_id, self._sequence, int(job.job_id), nonce, job.ntime, version, extranonce2
        )
        return self._sequence, self._client.sealed(share)

    def resumes(self, assignment: Assignment) -> bool:
        """See Talk."""
        return False

    def suggest(self, difficulty: float, hps: float) -> bytes:
        """See Talk. V2 is told the hash rate."""
        if self._channel_id is None:
            return b""
        return self._client.sealed(UpdateChannel(self._channel_id, hps, _ANY_TARGET))

    def _handle(self, message: Message, heard: list[Heard]) -> bytes:
        match message:
            case SetupConnectionSuccess():
                opening = OpenExtendedMiningChannel(1, self._pool.user, 0.0, _ANY_TARGET, EXTRANONCE_SIZE)
                return self._client.sealed(opening)
            case SetupConnectionError(_, code):
                raise lost(self._pool, f"it refuses the connection: {printable(code, 100)}")
            case OpenMiningChannelError(_, code):
                todo = "check the user in `pools`; most solo pools want an address of the network"
                raise lost(self._pool, f"it refuses user {self._pool.user!r}: {printable(code, 100)}", todo)
            case OpenExtendedMiningChannelSuccess() if self._channel_id is None:
                self._channel_id = message.channel_id
                heard.append(LoggedIn())
            case NewExtendedMiningJob() | SetNewPrevHash() if channel := self._channel(message.channel_id):
                is_future = isinstance(message, NewExtendedMiningJob) and message.min_ntime is None
                work = channel.work
                if work is not None and not is_future:
                    clean = isinstance(message, SetNewPrevHash)
                    heard.append(JobArrived(self._assignment(work, clean=clean)))
            case SubmitSharesSuccess(channel_id, last) if channel_id == self._channel_id:
                heard += [ShareAnswered(number, None) for number in self._waiting if number <= last]
                self._waiting = [number for number in self._waiting if number > last]
            case SubmitSharesError(channel_id, number, code) if number in self._waiting:
                self._waiting.remove(number)
                heard.append(ShareAnswered(number, Refusal(None, code)))
            case Reconnect(host, port):
                raise Redirect(host, port)
            case CloseChannel(_, reason) if self._channel_id not in {None, *self._client.channels}:
                raise lost(self._pool, f"it closed the channel: {printable(reason, 100)}")
        return b""

    def _channel(self, number: int) -> ClientChannel | None:
        """Our channel, if a message with this id is for it; a pool may give jobs to its group."""
        return next((each for each in self._client.addressed(number) if each.channel_id == self._channel_id), None)

    def _assignment(self, work: HeaderWork, *, clean: bool) -> Assignment:
        job = work.job
        if not isinstance(job, NewExtendedMiningJob) or work.extranonce_size is None or not work.target:
            raise lost(self._pool, "its job cannot be mined: no extended job, or a target of zero")
        assignment = Assignment(
            job=ServerJob(
                job_id=str(job.job_id),
                prevhash_le=work.prev_hash,
                coinbase1=job.coinbase_tx_prefix,
                coinbase2=job.coinbase_tx_suffix,
                branch=tuple(job.merkle_path),
                version=job.version,
                nbits=work.nbits,
                ntime=work.ntime,
                clean=clean,
            ),
            difficulty=DIFFICULTY_1_TARGET / work.target,
            extranonce1=work.extranonce_prefix,
            extranonce2_size=work.extranonce_size,
            # V2 names no mask: a bit that the job has set may be the pool's signal (BIP 9), and such shares are refused
            version_mask=BIP320_MASK & ~job.version if job.version_rolling_allowed else 0,
        )
        if target_from_difficulty(assignment.difficulty) > work.target:  # rounded: shares must meet the exact target
            assignment = replace(assignment, difficulty=math.nextafter(assignment.difficulty, math.inf))
        return assignment
