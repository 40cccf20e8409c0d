"""The miner's end of a Stratum V2 connection, sans I/O: bytes in, bytes and messages out.

Nothing here trusts the server: what cannot be read is a DecodeError, and what is kept is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from solominer.chain.hashes import root_from_branch, sha256d
from solominer.chain.header import Header
from solominer.engines.stratum.v2.frames import EXTENSION, FrameReader, seal
from solominer.engines.stratum.v2.messages import (
    FORMS,
    CloseChannel,
    Message,
    NewExtendedMiningJob,
    NewMiningJob,
    OpenExtendedMiningChannelSuccess,
    OpenStandardMiningChannelSuccess,
    SetExtranoncePrefix,
    SetGroupChannel,
    SetNewPrevHash,
    SetTarget,
    SubmitSharesExtended,
    SubmitSharesStandard,
    decode,
    packed,
)
from solominer.engines.stratum.v2.noise import ACT2_BYTES, Cipher, Initiator
from solominer.errors import BadValue

MAX_MESSAGE_BYTES = 256 * 1024
MOST_FUTURE_JOBS = 16


class HeaderWork(NamedTuple):
    """A job that may be worked on now, and what holds for it. Hashes in internal order, times in Unix seconds."""

    channel_id: int
    job: NewMiningJob | NewExtendedMiningJob
    extranonce_prefix: bytes
    extranonce_size: int | None
    prev_hash: bytes
    ntime: int
    nbits: int
    target: int

    def coinbase(self, extranonce: bytes) -> bytes:
        """The stripped coinbase of an extended job."""
        assert isinstance(self.job, NewExtendedMiningJob)
        job = self.job
        return job.coinbase_tx_prefix + self.extranonce_prefix + extranonce + job.coinbase_tx_suffix

    def header(self, nonce: int = 0, extranonce: bytes = b"", bits: int = 0) -> Header:
        """The header of a share; `bits` are set in the version."""
        if isinstance(self.job, NewMiningJob):
            root = self.job.merkle_root
        else:
            root = root_from_branch(sha256d(self.coinbase(extranonce)), self.job.merkle_path)
        return Header(self.job.version | bits, self.prev_hash, root, self.ntime, self.nbits, nonce)

    def share(self, sequence: int, header: Header, extranonce: bytes = b"") -> Message:
        """What hands in such a header."""
        values = self.channel_id, sequence, self.job.job_id, header.nonce, header.ntime, header.version
        if self.extranonce_size is None:
            return SubmitSharesStandard(*values)
        return SubmitSharesExtended(*values, extranonce)


class ClientChannel:
    """An open channel: its group, its target, and `work`, what to hash now; None before the first job."""

    def __init__(self, opened: OpenStandardMiningChannelSuccess | OpenExtendedMiningChannelSuccess) -> None:
        self.channel_id, self.group_id = opened.channel_id, opened.group_channel_id
        self.extranonce_prefix = opened.extranonce_prefix
        self.extranonce_size = opened.extranonce_size if isinstance(opened, OpenExtendedMiningChannelSuccess) else None
        self.target = int.from_bytes(opened.target, "little")
        self.work: HeaderWork | None = None
        self._future: dict[int, NewMiningJob | NewExtendedMiningJob] = {}

    def take(self, message: Message) -> None:
        """A message for this channel. Raises BadValue for what no miner could use."""
        match message:
            case SetTarget():
                self.target = int.from_bytes(message.maximum_target, "little")
            case SetExtranoncePrefix():
                self.extranonce_prefix = message.extranonce_prefix
            case NewMiningJob() | NewExtendedMiningJob() if message.min_ntime is None:
                self._future[message.job_id] = message
                if len(self._future) > MOST_FUTURE_JOBS:
                    del self._future[next(iter(self._future))]
            case NewMiningJob() | NewExtendedMiningJob():
                if self.work is None:
                    raise BadValue("a job to begin at once came before the first SetNewPrevHash")
                assert message.min_ntime is not None
                self._begin(message, self.work.prev_hash, message.min_ntime, self.work.nbits)
            case SetNewPrevHash():
                job = self._future.get(message.job_id)
                if job is None:
                    raise BadValue(f"SetNewPrevHash names job {message.job_id}, which is no future job")
                self._future.clear()
                self._begin(job, message.prev_hash, message.min_ntime, message.nbits)

    def _begin(self, job: NewMiningJob | NewExtendedMiningJob, prev_hash: bytes, ntime: int, nbits: int) -> None:
        self.work = HeaderWork(
            self.channel_id, job, self.extranonce_prefix, self.extranonce_size, prev_hash, ntime, nbits, self.target
        )


class V2Client:
    """One connection. Send `act1`, then what `sealed` returns; give `receive` what comes back.

    `authority_key` (32 bytes) must vouch for the server at the time of `clock`, in Unix seconds.
    """

    def __init__(self, authority_key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._initiator, self._authority_key, self._clock = Initiator(), authority_key, clock
        self._unread = b""
        self._send: Cipher | None = None
        self._frames: FrameReader | None = None
        self.channels: dict[int, ClientChannel] = {}

    @property
    def act1(self) -> bytes:
        """What the connection begins with."""
        return self._initiator.act1

    @property
    def is_secure(self) -> bool:
        """Whether the handshake is done: the server is the one that the authority key vouches for."""
        return self._frames is not None

    def receive(self, data: bytes) -> list[Message]:
        """Bytes arrived; the messages that they complete. Raises DecodeError, after which nothing may be trusted."""
        if self._frames is None:
            self._unread += data
            if len(self._unread) < ACT2_BYTES:
                return []
            ciphers = self._initiator.finish(self._unread[:ACT2_BYTES], self._authority_key, self._clock())
            self._send, self._frames = ciphers.send, FrameReader(ciphers.receive, MAX_MESSAGE_BYTES)
            data, self._unread = self._unread[ACT2_BYTES:], b""
        messages = []
        for extension, kind, payload in self._frames.feed(data):
            message = decode(kind, payload) if extension & EXTENSION == 0 else None
            if message is not None:
                self._take(message)
                messages.append(message)
        if self._frames.problem is not None:
            raise self._frames.problem
        return messages

    def _take(self, message: Message) -> None:
        if isinstance(message, OpenStandardMiningChannelSuccess | OpenExtendedMiningChannelSuccess):
            self.channels[message.channel_id] = ClientChannel(message)
        elif isinstance(message, SetGroupChannel):
            for channel_id in message.channel_ids:
                if channel_id in self.channels:
                    self.channels[channel_id].group_id = message.group_channel_id
        elif isinstance(message, CloseChannel):
            for channel in self.addressed(message.channel_id):
                del self.channels[channel.channel_id]
        elif FORMS[type(message)].channel:
            for channel in self.addressed(int(message[0])):
                channel.take(message)

    def addressed(self, number: int) -> list[ClientChannel]:
        """The channels that a message is for: the one with this id, or those of the group with this id."""
        channel = self.channels.get(number)
        return [channel] if channel else [each for each in self.channels.values() if each.group_id == number]

    def sealed(self, *messages: Message) -> bytes:
        """These messages as bytes to send. Only once the connection is secure."""
        assert self._send is not None
        return seal(self._send, map(packed, messages))
