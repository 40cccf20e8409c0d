"""A connection to the cluster's servers that comes back by itself, for heads and nodes."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import Error as NatsError

from solominer.config.forms import system_words

RETRY_SECS = 0.2
CONNECT_SECS = 2
CLOSE_SECS = 0.5
CANCEL_SECS = 1.0
PING_SECS = 1
PINGS_UNANSWERED = 2
"""A server that does not answer so many pings is left for another, or tried again."""

LOST = (NatsError, OSError, asyncio.TimeoutError)
"""What a call raises if the server cannot be reached or does not answer."""

_AT_CLOSE = "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"

log = logging.getLogger(__name__)
logging.getLogger("asyncio").addFilter(lambda record: "eof_received() has no effect" not in record.getMessage())
"""The client upgrades a plain connection to TLS, which asyncio says at every end of one."""

Notify = Callable[[], Awaitable[None]]


async def connect(
    servers: Sequence[str],
    name: str,
    *,
    tls: ssl.SSLContext,
    inbox: str,
    back: Notify,
) -> Client:
    """A connected client; waits until a server answers.

    `back` is called at once and each time it is connected again; what was published meanwhile raises an error.
    `inbox` is the subject below which answers arrive.
    """
    client, said = Client(), set[str]()
    client._transport = _Transport()  # type: ignore[no-untyped-call]

    async def failed(error: Exception) -> None:
        if client.is_closed or getattr(error, "reason", "") == _AT_CLOSE:
            return
        text = words(error)
        if text not in said:  # it repeats with every attempt
            said.add(text)
            log.warning("cluster server: %s; trying again", text)

    async def lost() -> None:
        if not client.is_closed:
            log.warning("the connection to the cluster's server is lost; trying again")

    async def again() -> None:
        said.clear()
        log.info("connected to the cluster's server again")
        await back()

    await client.connect(
        list(servers),
        name=name,
        tls=tls,
        inbox_prefix=inbox,
        error_cb=failed,
        disconnected_cb=lost,
        reconnected_cb=again,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RETRY_SECS,  # type: ignore[arg-type]  # it is only slept
        connect_timeout=CONNECT_SECS,
        ping_interval=PING_SECS,
        max_outstanding_pings=PINGS_UNANSWERED,
        pending_size=0,  # a job that waits for the connection is stale when it goes out
        no_echo=True,  # nobody needs to hear what he said himself
    )
    said.clear()
    version = client.connected_server_version
    log.info("connected to the cluster's server, version %d.%d.%d", version.major, version.minor, version.patch)
    await back()
    return client


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel these, and wait until they have ended.

    Again if need be: asyncio.wait_for of Python 3.11, which the client calls, may swallow a cancellation.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_SECS)


class _Transport(TcpTransport):
    """Is closed CLOSE_SECS later whatever happens, and by the next try at the latest.

    TLS waits 30 s for the farewell of a server that cannot be reached any more, and the client for TLS; a try that
    gets no answer the client forgets as it is.
    """

    async def connect(self, *args: Any, **more: Any) -> None:
        if self._io_writer is not None:
            self._io_writer.transport.abort()
        await super().connect(*args, **more)

    def close(self) -> None:
        super().close()  # type: ignore[no-untyped-call]
        if self._io_writer is not None:
            asyncio.get_running_loop().call_later(CLOSE_SECS, self._io_writer.transport.abort)

    def __bool__(self) -> bool:
        return True  # else the client makes one of its own


def words(error: Exception) -> str:
    """What a server, or the way to it, has against a connection."""
    text = str(error) or type(error).__name__
    if "authorization violation" in text.lower():
        return "it refuses this certificate: a node that was removed or renewed needs its new join file"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        return f"cannot connect: {system_words(error)}"
    return text
