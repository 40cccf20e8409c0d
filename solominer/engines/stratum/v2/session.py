"""One Stratum V2 connection of a miner, sans I/O: what `stratum.session` is for V1, with the same methods.

Work, difficulty, shares and records are those of V1; only what is said on the wire differs. Accepted shares of a packet
that follow each other are answered together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from solominer.engines.stratum.base_session import BaseSession
from solominer.engines.stratum.batch import Taken
from solominer.engines.stratum.difficulty import Difficulty
from solominer.engines.stratum.events import (
    AddressWanted,
    Authorized,
    AuthorizeRefused,
    BlockAccepted,
    Departed,
    DifficultyChanged,
    Output,
    Tally,
    Worker,
)
from solominer.engines.stratum.messages import StratumError
from solominer.engines.stratum.names import Username, clean_text, parse_username
from solominer.engines.stratum.plain_shares import Aimed
from solominer.engines.stratum.shared import PayTo, Shared
from solominer.engines.stratum.v2 import shares
from solominer.engines.stratum.v2.channel import MiningChannel, Wish
from solominer.engines.stratum.v2.frames import EXTENSION, Frame, FrameReader, Packed, seal
from solominer.engines.stratum.v2.identity import Identity
from solominer.engines.stratum.v2.messages import (
    CloseChannel,
    Message,
    OpenExtendedMiningChannel,
    OpenExtendedMiningChannelSuccess,
    OpenMiningChannelError,
    OpenStandardMiningChannel,
    OpenStandardMiningChannelSuccess,
    SetupConnection,
    SetupConnectionError,
    SetupConnectionSuccess,
    UpdateChannel,
    UpdateChannelError,
    decode,
    packed,
)
from solominer.engines.stratum.v2.noise import ACT1_BYTES, Cipher
from solominer.engines.stratum.v2.shares import answer_to_block
from solominer.engines.stratum.work import EXTRANONCE2_SIZE, Audience, Job
from solominer.errors import DecodeError, EngineError, SolominerError

VERSION = 2
MAX_MESSAGE_BYTES = 16 * 1024
MAX_REFUSED_CHANNELS = 32
MOST_GONE = 16
_REQUIRES_STANDARD_JOBS, _REQUIRES_VERSION_ROLLING = 1, 4
_REQUIRES_FIXED_VERSION = 1
_NO_SETUP = "no SetupConnection came first"
_NO_GROUP = 0
_MOST_ERROR = 255


class _Opening(NamedTuple):
    """A channel that is asked for."""

    asked: OpenStandardMiningChannel | OpenExtendedMiningChannel
    name: Username


class V2Session(BaseSession):
    """One connection. Every input returns an `Output` to be carried out."""

    __slots__ = (
        "_ahead", "_channel_ids", "_frames", "_handshake", "_identity", "_is_set_up", "_openings", "_refused", "_run",
        "_send", "_shares_before", "channels", "gone",
    )  # fmt: skip

    held = None
    """V2 has no sessions to resume."""
    aimed = None

    def __init__(self, shared: Shared, identity: Identity, now: float) -> None:
        super().__init__(shared, now)
        self._identity = identity
        self._handshake = b""
        self._frames: FrameReader | None = None
        self._send: Cipher | None = None
        self._is_set_up = False
        self._openings: list[_Opening] = []
        self._channel_ids = self._refused = self._shares_before = 0
        self._ahead: list[Frame] = []  # read by `plain`, and not handled yet; the shares that they begin with
        self._run = shares.NONE
        self.channels: dict[int, MiningChannel] = {}
        self.gone: dict[int, MiningChannel] = {}  # the last ones that were closed: a block may be on its way

    # What the server asks

    @property
    def is_mining(self) -> bool:
        """Whether a channel was sent a job."""
        return bool(self.channels)

    @property
    def difficulty(self) -> Difficulty:
        """That of the oldest channel."""
        first = next(iter(self.channels.values()), None)
        return first.difficulty if first else Difficulty(self.shared.settings.limits)

    @property
    def shares(self) -> int:
        """Shares that count for the hash rate, also of channels that are closed."""
        return self._shares_before + sum(channel.difficulty.shares for channel in self.channels.values())

    def rate_interval_hps(self, now: float) -> tuple[float, float, float]:
        """As `Difficulty.rate_interval_hps` where there is and was one channel alone, else that of no exposure."""
        blank = Difficulty(self.shared.settings.limits)
        return (self.difficulty if self._channel_ids == 1 else blank).rate_interval_hps(now)

    # Inputs

    def receive(self, data: bytes, now: float) -> Output:
        """Bytes arrived."""
        if self._frames is None:
            self._handshake += data
            if len(self._handshake) < ACT1_BYTES:
                return self._take()
            act2, ciphers = self._identity.respond(self._handshake[:ACT1_BYTES])
            self._out.append(act2)
            self._send, self._frames = ciphers.send, FrameReader(ciphers.receive, MAX_MESSAGE_BYTES)
            data, self._handshake = self._handshake[ACT1_BYTES:], b""
        frames, self._ahead = self._ahead + self._frames.feed(data), []
        self._take_frames(frames, now)
        if self._frames.problem is not None:
            self._close = self._close or self._frames.problem.what
        return self._take(len(frames), now)

    def _take_frames(self, frames: list[Frame], now: float) -> None:
        """Handle messages; of those behind one that ends the connection the shares alone."""
        at = 0
        while at < len(frames):
            run = shares.run_at(frames, at) if shares.is_share(frames[at]) else shares.NONE
            extension, kind, payload = frames[at]
            at += len(run.payloads) or 1
            try:
                if run.payloads and self._is_set_up:
                    shares.hand_in(self, run, now)
                elif run.payloads:
                    self._close = self._close or _NO_SETUP
                elif not self._close and extension & EXTENSION == 0 and (message := decode(kind, payload)) is not None:
                    self._handle(message, now)
            except DecodeError as error:
                self._close = self._close or f"a message that cannot be read: {error.what}"

    def plain(self, data: bytes) -> tuple[Aimed, bytes] | None:
        """What shares must meet that may be taken with those of other connections, and their bytes; None: none may."""
        assert self._frames is not None
        frames = self._ahead
        frames += self._frames.feed(data)
        if not frames or not shares.is_share(frames[0]):
            return None
        run = self._run = shares.run_at(frames, 0)
        aimed = shares.aimed_at(self, run)
        return (aimed, run.data) if aimed is not None else None

    def took(self, aimed: Aimed, taken: Taken, now: float) -> Output:
        """Shares at the beginning of a packet were taken for it."""
        shares.took(self, self._run, aimed, taken, now)
        del self._ahead[: taken.lines]
        return self._take(taken.lines, now)

    def left_of(self, data: bytes, taken: Taken) -> bytes | None:
        """What is to be received yet of a packet; None: nothing."""
        assert self._frames is not None
        return b"" if self._ahead or self._frames.problem is not None else None

    def tick(self, now: float) -> Output:
        """Time passed: to be called every few seconds."""
        settings = self.shared.settings
        if self.shared.board.current is None:
            for channel in self.channels.values():
                channel.difficulty.pause(now)
        elif not self.channels and now - self._opened >= settings.handshake_secs:
            self._close = f"no open channel within {settings.handshake_secs:.0f} s"
        else:
            for channel in list(self.channels.values()):
                if channel.is_due(now, settings.notify_secs):
                    self.announce(channel, now)
        return self._take()

    def work_changed(self, now: float) -> Output:
        """There is other work: a new tip, or fresh transactions on the same one."""
        for channel in list(self.channels.values()):
            self.announce(channel, now)
        if self._openings:
            self._open_waiting(now)
        return self._take()

    def limits_changed(self, now: float) -> Output:
        """The listener has other bounds of difficulty."""
        for channel in list(self.channels.values()):
            if channel.difficulty.bound(self.shared.settings.limits, now):
                self.announce(channel, now)
        return self._take()

    def address_resolved(self, address: str, script: bytes | None, reason: str, now: float) -> Output:
        """The node's answer about an address: its script, or None and why it cannot be paid."""
        found = [each for each in self._openings if each.name.address == address]
        self._openings = [each for each in self._openings if each.name.address != address]
        for opening in found:
            if script is None:
                self._refuse(opening, f"unknown-user: {reason}")
            else:
                self._open(opening, script, now)
        return self._take()

    def block_answer(self, request: bytes, error: StratumError | None) -> bytes:
        """The answer to a BlockAccepted: None if the block is on disk."""
        assert self._send is not None
        return seal(self._send, [packed(answer_to_block(request, error))])

    def closed(self, now: float) -> None:
        """The connection is gone."""
        for channel in self.channels.values():
            self.shared.table.release(channel.held)

    # Messages

    def _handle(self, message: Message, now: float) -> None:
        handler = _HANDLERS.get(type(message))
        if handler is None:
            return  # of another protocol, or a server's
        if (handler is V2Session._setup) is self._is_set_up:
            self._close = "a second SetupConnection" if self._is_set_up else _NO_SETUP
        else:
            handler(self, message, now)

    def _setup(self, message: SetupConnection, now: float) -> None:
        unsupported = message.flags & ~(_REQUIRES_STANDARD_JOBS | _REQUIRES_VERSION_ROLLING)
        work = self.shared.board.current
        fixed = work is not None and not work.version_mask
        if fixed:
            unsupported |= message.flags & _REQUIRES_VERSION_ROLLING
        error = ""
        if message.protocol != 0:
            error, unsupported = "unsupported-protocol", 0
        elif not message.min_version <= VERSION <= message.max_version:
            error, unsupported = "protocol-version-mismatch", 0
        elif unsupported:
            error = "unsupported-feature-flags"
        if error:
            self.tell(SetupConnectionError(unsupported, error))
            self._close = f"its SetupConnection: {error}"
            return
        self._is_set_up = True
        self._introduced(" ".join(filter(None, (message.vendor, message.hardware_version, message.firmware))))
        self.tell(SetupConnectionSuccess(VERSION, _REQUIRES_FIXED_VERSION if fixed else 0))

    def _ask_to_open(self, message: OpenStandardMiningChannel | OpenExtendedMiningChannel, now: float) -> None:
        opening = _Opening(message, parse_username(message.user_identity))
        address, settings = opening.name.address, self.shared.settings
        most = settings.max_workers
        if len(self.channels) + len(self._openings) >= most:
            self._refuse(opening, f"too-many-channels: {most} are the most of one connection")
        elif isinstance(message, OpenExtendedMiningChannel) and message.min_extranonce_size > EXTRANONCE2_SIZE:
            self._refuse(opening, f"min-extranonce-size-too-large: {EXTRANONCE2_SIZE} bytes are the most")
        elif not message.user_identity:
            self._refuse(opening, "unknown-user: there is no user name")
        elif settings.pay_to is PayTo.CONFIG:
            self._open(opening, None, now)
        elif not address:
            self._refuse(opening, "unknown-user: it must be a Bitcoin address, such as bc1q....worker")
        elif address in self.shared.scripts:
            self._open(opening, self.shared.scripts[address], now)
        else:
            self._openings.append(opening)
            self._events.append(AddressWanted(address))

    def _open_waiting(self, now: float) -> None:
        """Those whose addresses are known and that waited for work."""
        waiting, self._openings = self._openings, []
        for opening in waiting:
            script = self.shared.scripts.get(opening.name.address)
            if script is None and self.shared.settings.pay_to is not PayTo.CONFIG:
                self._openings.append(opening)
            else:
                self._open(opening, script, now)

    def _open(self, opening: _Opening, script: bytes | None, now: float) -> None:
        shared, asked = self.shared, opening.asked
        if shared.board.current is None:
            self._openings.append(opening)
            return
        size = asked.min_extranonce_size if isinstance(asked, OpenExtendedMiningChannel) else None
        try:
            script, credit = shared.payee(script)
            held, _ = shared.table.open("", now)
        except SolominerError as error:
            self._refuse(opening, error.what)
            return
        known = self.workers.get(asked.user_identity)
        worker = known or Worker(opening.name.name, Tally(), credit)
        in_group = shared.settings.pay_to is PayTo.GROUP
        audience = Audience(None, self.agent.v2_coinbase_bytes) if in_group else Audience(script)
        channel = MiningChannel(self._channel_ids + 1, worker, held, shared, audience, self.agent, size)
        channel.wants(Wish.of(asked.nominal_hash_rate, asked.max_target), now)
        try:
            job = channel.next_job(now)
            self._check(channel, job)
        except SolominerError as error:
            shared.table.release(held)
            self._refuse(opening, error.what)
            return
        self._channel_ids += 1
        self.channels[channel.channel_id] = channel
        first = asked.request_id, channel.channel_id, channel.target_le
        if size is None:
            self.tell(OpenStandardMiningChannelSuccess(*first, channel.prefix, _NO_GROUP))
        else:
            self.tell(OpenExtendedMiningChannelSuccess(*first, size, channel.prefix, _NO_GROUP))
        if known is None:
            worker.tally = shared.tallies.of(worker.name, self.user_agent)
            self.workers[asked.user_identity] = worker
            self._events.append(Authorized(worker))
        self._events.append(DifficultyChanged(channel.difficulty.announced))
        self._tell(*channel.announcement(job, with_target=False))

    def _check(self, channel: MiningChannel, job: Job) -> None:
        """Raises EngineError where a client cannot take what it would be sent."""
        most = self.agent.v2_coinbase_bytes
        if channel.target_is_too_large:
            raise EngineError("max-target-out-of-range: blocks would be kept back")
        if channel.extranonce_size is not None and job.coinbase_bytes > most:
            raise EngineError(f"the payouts make a coinbase of {job.coinbase_bytes} bytes; this client takes {most}")

    def _refuse(self, opening: _Opening, reason: str) -> None:
        self._refused += 1
        if self._refused >= MAX_REFUSED_CHANNELS and not self.channels:
            self._close = f"{MAX_REFUSED_CHANNELS} channels that were refused"
        self._events.append(AuthorizeRefused(opening.name.name, reason))
        self.tell(OpenMiningChannelError(opening.asked.request_id, clean_text(reason, _MOST_ERROR)))

    def _update(self, message: UpdateChannel, now: float) -> None:
        channel = self.channels.get(message.channel_id)
        if channel is None:
            self.tell(UpdateChannelError(message.channel_id, "invalid-channel-id"))
            return
        moved = channel.wants(Wish.of(message.nominal_hash_rate, message.maximum_target), now)
        if moved:
            self.announce(channel, now)
        if channel.target_is_too_large:
            self.tell(UpdateChannelError(message.channel_id, "max-target-out-of-range"))

    def _close_channel(self, message: CloseChannel, now: float) -> None:
        if message.channel_id in self.channels:
            self._drop(message.channel_id)
            self._opened = now  # it may open another one

    def _drop(self, channel_id: int) -> None:
        channel = self.channels.pop(channel_id)
        self._shares_before += channel.difficulty.shares
        self.shared.table.release(channel.held)
        self.gone[channel_id] = channel
        if len(self.gone) > MOST_GONE:
            del self.gone[next(iter(self.gone))]
        if all(other.worker is not channel.worker for other in self.channels.values()):
            self.workers = {user: each for user, each in self.workers.items() if each is not channel.worker}
            self._events.append(Departed(channel.worker))

    # Jobs and shares

    def announce(self, channel: MiningChannel, now: float) -> None:
        """Send the newest job that it does not have, behind its target where that changed."""
        if self.shared.board.current is None:
            return
        before = channel.difficulty.announced
        try:
            job = channel.next_job(now)
        except SolominerError as error:
            self.tell(CloseChannel(channel.channel_id, clean_text(error.what, _MOST_ERROR)))
            self._drop(channel.channel_id)
            return
        moved = channel.difficulty.announced != before
        if moved:
            self._events.append(DifficultyChanged(channel.difficulty.announced))
        self._tell(*channel.announcement(job, with_target=moved))

    def answer_once_saved(self, request: bytes, hash_le: bytes) -> None:
        """Answer this request of a block once that is on disk."""
        self._events.append(BlockAccepted(request, hash_le))

    # Output

    def tell(self, *messages: Message) -> None:
        """Send messages, behind what is waiting."""
        self._tell(*map(packed, messages))

    def _tell(self, *messages: Packed) -> None:
        assert self._send is not None
        self._out.append(seal(self._send, messages))


_HANDLERS: dict[type, Callable[[V2Session, Any, float], None]] = {
    SetupConnection: V2Session._setup,
    OpenStandardMiningChannel: V2Session._ask_to_open,
    OpenExtendedMiningChannel: V2Session._ask_to_open,
    UpdateChannel: V2Session._update,
    CloseChannel: V2Session._close_channel,
}
