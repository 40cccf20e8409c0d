"""A copy of the head's file of jobs on the servers, for the daemon that takes over on another machine.

With it shares that nodes found for the old head's jobs are judged there, and a block among them is sent. The stream
contains the file's bytes, in messages of up to PART_BYTES; one that begins the file anew removes all before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from nats.aio.client import Client
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from solominer.engines.cluster import subjects
from solominer.engines.cluster.fence import Fence
from solominer.engines.jobs_file import Written

PART_BYTES = 192 << 10
_ANEW = {"Nats-Rollup": "all"}


class Vault:
    """Follows the file `path` with what is written to it. After a failure the next copy is of the whole file.

    `look_again` is as in `Fence`.
    """

    def __init__(self, path: Path, look_again: Callable[[], None]) -> None:
        self._path = path
        self._fence = Fence(look_again, subjects.VAULT)
        self._client: Client | None = None
        self._has_gap = True
        self._in_order = asyncio.Lock()

    async def begin(self, client: Client, replicas: int) -> None:
        """Use this connection. Raises nats.errors.Error."""
        await client.jsm().add_stream(
            StreamConfig(
                name=subjects.VAULT_STREAM,
                subjects=[subjects.VAULT],
                storage=StorageType.FILE,
                num_replicas=replicas,
                allow_direct=True,
                allow_rollup_hdrs=True,
            )
        )
        info = await client.jsm().stream_info(subjects.VAULT_STREAM)
        self._fence.begin(info.state.last_seq if info.state.messages else 0)
        self._client, self._has_gap = client, True

    def complete(self, written: Written) -> Written:
        """What to copy after this was written: the whole file if there is a gap. For the thread that writes it."""
        if not self._has_gap:
            return written
        try:
            return Written(self._path.read_bytes(), anew=True)
        except OSError:  # nothing could be written yet, which was logged
            return Written(b"")

    async def put(self, written: Written) -> None:
        """Copy it; returns when the servers have it, or have not taken it. In the order of writing."""
        async with self._in_order:
            client = self._client
            if client is None or not written.data or (self._has_gap and not written.anew):
                return
            self._has_gap = False
            for at in range(0, len(written.data), PART_BYTES):
                headers = _ANEW if written.anew and not at else {}
                if not await self._fence.publish(client, written.data[at : at + PART_BYTES], headers):
                    self._has_gap = True
                    return


async def copy_of_jobs(client: Client) -> bytes:
    """The old head's file of jobs; empty if there is none. Raises nats.errors.Error."""
    manager = client.jsm()
    try:
        state = (await manager.stream_info(subjects.VAULT_STREAM)).state
    except NotFoundError:
        return b""
    numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
    return b"".join([(await manager.get_msg(subjects.VAULT_STREAM, seq=number)).data or b"" for number in numbers])
