"""The messages of Stratum V2's mining protocol (specification 3.6 and 5.3), to bytes and back.

Fields have the specification's names and order. Targets and hashes are 32 bytes as they are sent, little-endian; times
are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple

from solominer.engines.stratum.v2.fields import (
    BOOL,
    BYTES_32,
    BYTES_64K,
    F32,
    HASHES,
    MAYBE_U32,
    NUMBERS,
    TEXT,
    U8,
    U16,
    U32,
    U64,
    U256,
    Field,
)
from solominer.engines.stratum.v2.frames import Packed, head_of
from solominer.errors import TrailingData


class SetupConnection(NamedTuple):
    """The first message of a client. `protocol` 0 is mining; `flags` are bits of REQUIRES_*."""

    protocol: int
    min_version: int
    max_version: int
    flags: int
    endpoint_host: str
    endpoint_port: int
    vendor: str
    hardware_version: str
    firmware: str
    device_id: str


class SetupConnectionSuccess(NamedTuple):
    """The server takes the connection."""

    used_version: int
    flags: int


class SetupConnectionError(NamedTuple):
    """It does not; `flags` are those that it does not support."""

    flags: int
    error_code: str


class Reconnect(NamedTuple):
    """Connect there instead; "" and 0 stand for where the client is."""

    new_host: str
    new_port: int


class OpenStandardMiningChannel(NamedTuple):
    """A device that hashes headers alone. `nominal_hash_rate` in H/s."""

    request_id: int
    user_identity: str
    nominal_hash_rate: float
    max_target: bytes


class OpenStandardMiningChannelSuccess(NamedTuple):
    """The channel is open."""

    request_id: int
    channel_id: int
    target: bytes
    extranonce_prefix: bytes
    group_channel_id: int


class OpenExtendedMiningChannel(NamedTuple):
    """A device or proxy that makes Merkle roots itself, with so many bytes of extranonce."""

    request_id: int
    user_identity: str
    nominal_hash_rate: float
    max_target: bytes
    min_extranonce_size: int


class OpenExtendedMiningChannelSuccess(NamedTuple):
    """The channel is open."""

    request_id: int
    channel_id: int
    target: bytes
    extranonce_size: int
    extranonce_prefix: bytes
    group_channel_id: int


class OpenMiningChannelError(NamedTuple):
    """The channel is not opened."""

    request_id: int
    error_code: str


class UpdateChannel(NamedTuple):
    """Another hash rate, or another target that a client can take."""

    channel_id: int
    nominal_hash_rate: float
    maximum_target: bytes


class UpdateChannelError(NamedTuple):
    """That cannot be."""

    channel_id: int
    error_code: str


class CloseChannel(NamedTuple):
    """The end of a channel, from either end."""

    channel_id: int
    reason_code: str


class SetExtranoncePrefix(NamedTuple):
    """What jobs begin their extranonce with from now on."""

    channel_id: int
    extranonce_prefix: bytes


class SetGroupChannel(NamedTuple):
    """These channels belong to a group."""

    group_channel_id: int
    channel_ids: tuple[int, ...]


class NewMiningJob(NamedTuple):
    """A header but for parent, bits and nonce. Without `min_ntime` it waits for its SetNewPrevHash."""

    channel_id: int
    job_id: int
    min_ntime: int | None
    version: int
    merkle_root: bytes


class NewExtendedMiningJob(NamedTuple):
    """The halves of a stripped coinbase and its Merkle path."""

    channel_id: int
    job_id: int
    min_ntime: int | None
    version: int
    version_rolling_allowed: bool
    merkle_path: tuple[bytes, ...]
    coinbase_tx_prefix: bytes
    coinbase_tx_suffix: bytes


class SetNewPrevHash(NamedTuple):
    """A new tip: only this job counts from now on."""

    channel_id: int
    job_id: int
    prev_hash: bytes
    min_ntime: int
    nbits: int


class SetTarget(NamedTuple):
    """What hashes of later jobs must not be above."""

    channel_id: int
    maximum_target: bytes


class SubmitSharesStandard(NamedTuple):
    """A header that a standard channel found; `version` whole."""

    channel_id: int
    sequence_number: int
    job_id: int
    nonce: int
    ntime: int
    version: int


class SubmitSharesExtended(NamedTuple):
    """One of an extended channel."""

    channel_id: int
    sequence_number: int
    job_id: int
    nonce: int
    ntime: int
    version: int
    extranonce: bytes


class SubmitSharesSuccess(NamedTuple):
    """So many shares up to that number are accepted; the sum of their difficulties, a whole number."""

    channel_id: int
    last_sequence_number: int
    new_submits_accepted_count: int
    new_shares_sum: int


class SubmitSharesError(NamedTuple):
    """A share is refused."""

    channel_id: int
    sequence_number: int
    error_code: str


Message = (
    SetupConnection
    | SetupConnectionSuccess
    | SetupConnectionError
    | Reconnect
    | OpenStandardMiningChannel
    | OpenStandardMiningChannelSuccess
    | OpenExtendedMiningChannel
    | OpenExtendedMiningChannelSuccess
    | OpenMiningChannelError
    | UpdateChannel
    | UpdateChannelError
    | CloseChannel
    | SetExtranoncePrefix
    | SetGroupChannel
    | NewMiningJob
    | NewExtendedMiningJob
    | SetNewPrevHash
    | SetTarget
    | SubmitSharesStandard
    | SubmitSharesExtended
    | SubmitSharesSuccess
    | SubmitSharesError
)


class Form:
    """How one kind of message is written: its number, whether it is for one channel, its `head`, and its fields."""

    __slots__ = ("_fields", "_make", "_whole", "channel", "head", "kind")

    def __init__(self, message: Any, kind: int, *fields: Field, channel: bool) -> None:
        self.kind, self.channel = kind, channel
        self.head = head_of(kind, channel=channel)
        self._make, self._fields = message._make, fields
        codes = [field.code for field in fields]
        self._whole = Struct("<" + "".join(codes)) if all(codes) else None

    def encode(self, values: Sequence[Any]) -> bytes:
        """The payload."""
        if self._whole is not None:
            return self._whole.pack(*values)
        return b"".join([field.write(value) for field, value in zip(self._fields, values, strict=True)])

    def decode(self, payload: bytes) -> Any:
        """The message. Raises DecodeError."""
        if self._whole is not None and len(payload) == self._whole.size:
            return self._make(self._whole.unpack(payload))
        values, at = [], 0
        for field in self._fields:
            value, at = field.read(payload, at)
            values.append(value)
        if at != len(payload):
            raise TrailingData(f"{len(payload) - at} bytes behind the end of a message")
        return self._make(values)


_OPEN = U32, TEXT, F32, U256
_SHARE = U32, U32, U32, U32, U32, U32

# The specification's table has no channel bit at NewMiningJob; without it Braiins OS refuses the message.
FORMS: dict[type, Form] = {
    message: Form(message, kind, *fields, channel=channel)
    for message, kind, channel, fields in (
        (SetupConnection, 0x00, False, (U8, U16, U16, U32, TEXT, U16, TEXT, TEXT, TEXT, TEXT)),
        (SetupConnectionSuccess, 0x01, False, (U16, U32)),
        (SetupConnectionError, 0x02, False, (U32, TEXT)),
        (Reconnect, 0x04, False, (TEXT, U16)),
        (OpenStandardMiningChannel, 0x10, False, _OPEN),
        (OpenStandardMiningChannelSuccess, 0x11, False, (U32, U32, U256, BYTES_32, U32)),
        (OpenMiningChannelError, 0x12, False, (U32, TEXT)),
        (OpenExtendedMiningChannel, 0x13, False, (*_OPEN, U16)),
        (OpenExtendedMiningChannelSuccess, 0x14, False, (U32, U32, U256, U16, BYTES_32, U32)),
        (NewMiningJob, 0x15, True, (U32, U32, MAYBE_U32, U32, U256)),
        (UpdateChannel, 0x16, True, (U32, F32, U256)),
        (UpdateChannelError, 0x17, True, (U32, TEXT)),
        (CloseChannel, 0x18, True, (U32, TEXT)),
        (SetExtranoncePrefix, 0x19, True, (U32, BYTES_32)),
        (SubmitSharesStandard, 0x1A, True, _SHARE),
        (SubmitSharesExtended, 0x1B, True, (*_SHARE, BYTES_32)),
        (SubmitSharesSuccess, 0x1C, True, (U32, U32, U32, U64)),
        (SubmitSharesError, 0x1D, True, (U32, U32, TEXT)),
        (NewExtendedMiningJob, 0x1F, True, (U32, U32, MAYBE_U32, U32, BOOL, HASHES, BYTES_64K, BYTES_64K)),
        (SetNewPrevHash, 0x20, True, (U32, U32, U256, U32, U32)),
        (SetTarget, 0x21, True, (U32, U256)),
        (SetGroupChannel, 0x25, False, (U32, NUMBERS)),
    )
}
BY_KIND = {form.kind: form for form in FORMS.values()}


def packed(message: Message) -> Packed:
    """A message as bytes."""
    form = FORMS[type(message)]
    return Packed(form.head, form.encode(message))


def decode(kind: int, payload: bytes) -> Message | None:
    """The message of that kind; None for a kind that is not known. Raises DecodeError."""
    form = BY_KIND.get(kind)
    if form is None:
        return None
    message: Message = form.decode(payload)
    return message
