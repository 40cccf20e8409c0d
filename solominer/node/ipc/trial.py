"""Tries a node's mining interface once, for checks."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from solominer.errors import IpcFailed
from solominer.node.ipc.probe import probe
from solominer.node.ipc.session import IpcSession, schema


def try_interface(path: Path) -> tuple[str, bytes, int]:
    """The interface's version, and hash (internal order) and height of the tip. Blocks. Raises IpcFailed."""
    with ThreadPoolExecutor(1) as pool:  # pycapnp needs an event loop of its own
        result = pool.submit(lambda: asyncio.run(_try(path))).result()
    if isinstance(result, IpcFailed):
        raise result
    return result


async def _try(path: Path) -> tuple[str, bytes, int] | IpcFailed:
    try:
        schema()
        import capnp

        async with capnp.kj_loop():
            session = await IpcSession.open(path)
            try:
                await probe(session)
                return (session.version, *await session.tip())
            finally:
                session.close()
    except IpcFailed as error:
        return error.with_traceback(None)  # its frames hold objects of this thread
