"""The streams and the consumer on the server: the head makes them, and again if the server has lost them."""

from __future__ import annotations

from collections.abc import Iterable

from nats.aio.client import Client
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError, ServiceUnavailableError

from solominer.engines.cluster import subjects
from solominer.engines.cluster.messages import JobMessage
from solominer.errors import DecodeError

REPEAT_SECS = 120.0
"""The server drops a share with the id of another one that came within this time."""
MOST_SHARE_BYTES = 1 << 30
MOST_OF_A_NODE = 1_000
"""The server keeps so many shares of a node until they are judged, and refuses more without writing them."""
MOST_UNJUDGED = 20_000
"""The server sends the head at most so many shares that are not acknowledged yet."""

_NO_LEADER, _OTHER_SETTINGS = 10008, 10058
"""In the server's errors.json: JetStream is temporarily unavailable; a stream of that name has other settings."""


async def make_streams(client: Client, replicas: int) -> None:
    """Make what is missing; `replicas` is how many servers keep each message. Raises nats.errors.Error."""
    manager = client.jsm()
    await manager.add_stream(
        StreamConfig(
            name=subjects.JOB_STREAM,
            subjects=[subjects.JOB],
            max_msgs=1,
            discard=DiscardPolicy.OLD,
            storage=StorageType.FILE,
            num_replicas=replicas,
            allow_direct=True,
        )
    )
    shares = StreamConfig(
        name=subjects.SHARE_STREAM,
        subjects=[subjects.ALL_SHARES],
        retention=RetentionPolicy.WORK_QUEUE,
        max_bytes=MOST_SHARE_BYTES,
        max_msgs_per_subject=MOST_OF_A_NODE,
        discard=DiscardPolicy.NEW,  # a node keeps what the server does not take
        discard_new_per_subject=True,
        storage=StorageType.FILE,
        num_replicas=replicas,
        duplicate_window=REPEAT_SECS,
    )
    try:
        await manager.add_stream(shares)
    except BadRequestError as error:
        if error.err_code != _OTHER_SETTINGS:
            raise
        await manager.update_stream(shares)  # an earlier version made it
    await manager.add_consumer(
        subjects.SHARE_STREAM,
        ConsumerConfig(
            durable_name=subjects.JUDGE,
            deliver_subject=subjects.TO_JUDGE,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=subjects.ACK_WAIT_SECS,
            max_ack_pending=MOST_UNJUDGED,
        ),
    )


async def lost_streams(client: Client, names: Iterable[str]) -> list[str]:
    """Which of these streams, or the consumer, the server has no more. Raises nats.errors.Error."""
    manager, lost = client.jsm(), []
    for name in names:
        try:
            await manager.stream_info(name)
            if name == subjects.SHARE_STREAM:
                await manager.consumer_info(name, subjects.JUDGE)
        except NotFoundError:
            lost.append(name)
    return lost


def what_is_wrong(error: Exception) -> str:
    """What made this error of the server, and what to do."""
    match error:
        case ServiceUnavailableError(err_code=code) if code == _NO_LEADER:
            return "this part of the cluster's servers has no majority -> of three, two must reach each other"
        case ServiceUnavailableError():
            return "the cluster's server has no JetStream -> enable it, as nats.conf of `solominer cluster init` does"
        case APIError():
            return f"the cluster's server refuses its streams: {error.description} -> solominer doctor"
        case _:
            return f"the cluster's server does not answer: {error or type(error).__name__}"


async def newest_job(client: Client) -> JobMessage | None:
    """The newest job message, if there is one that this version can read. Raises nats.errors.Error."""
    message, _ = await newest_job_and_sequence(client)
    return message


async def newest_job_and_sequence(client: Client) -> tuple[JobMessage | None, int]:
    """The same with its number in the stream; 0 if there is none."""
    try:
        kept = await client.jetstream().get_last_msg(subjects.JOB_STREAM, subjects.JOB, direct=True)
    except NotFoundError:
        return None, 0
    try:
        return JobMessage.unpack(kept.data or b""), kept.seq or 0
    except DecodeError:
        return None, kept.seq or 0
