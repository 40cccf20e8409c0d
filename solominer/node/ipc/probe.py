"""Which release's mining interface answers, found out by trying: a version number says nothing about a method's number.

A node that passes can do everything that a found block needs. Release 31 submits by method 7 and answers yes or no; the
next by method 10 with a reason, and its method 7 is an error. Fetching works on both, so one that was only fetched from
could fail at the moment of a find.
"""

from __future__ import annotations

import asyncio
from typing import Any

from solominer.errors import IpcFailed
from solominer.node.ipc.session import IpcSession, answered, failure_text

PROBE_SECS = 5.0
OLD, NEW = "31", "32"
"""The interface of release 31, and the one that follows."""


async def probe(session: IpcSession) -> None:
    """Set the session's version. Raises IpcFailed if it cannot be used, with the reason."""
    try:
        async with asyncio.timeout(PROBE_SECS):
            template = await session.try_out()
            session.version = await _version(session, template)
            await answered(session.wait_next(template, 0.0))
            await answered(template.destroy(context=session.reading))
    except TimeoutError:
        raise IpcFailed(f"no answer to the trial within {PROBE_SECS:g} s") from None


async def _version(session: IpcSession, template: Any) -> str:
    """Submit no coinbase at all, which both refuse with a false."""
    for version, submit in ((NEW, template.submitSolution), (OLD, template.submitSolution31)):
        accepted = await _try(submit(context=session.submitting, version=0x20000000, timestamp=0, nonce=0))
        if accepted is False:
            return version
        if accepted:
            raise IpcFailed("the node accepted a block without a coinbase", "report this with the node's version")
    raise IpcFailed("no known way to submit a block", "this version of the node is not supported by IPC yet")


async def _try(call: Any) -> bool | None:
    """The node's answer, None if it lacks the method. Raises IpcFailed."""
    import capnp

    try:
        return bool((await call).result)
    except capnp.KjException as error:
        if str(error.type) == "UNIMPLEMENTED":
            return None
        raise IpcFailed(f"a trial submission failed: {failure_text(error)}") from None
