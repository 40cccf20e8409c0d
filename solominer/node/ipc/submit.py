"""A found block as a solution of one of the node's own templates: it sends the header and the coinbase alone."""

from __future__ import annotations

import asyncio
import time

from solominer.chain.header import HEADER_SIZE, Header
from solominer.chain.scan import scan_count, scan_transaction, stripped
from solominer.errors import printable
from solominer.node.ipc.probe import NEW
from solominer.node.ipc.session import IpcSession, answered
from solominer.node.submit import classify_submit
from solominer.work.events import Answer
from solominer.work.ports import SubmitReply

GRACE_SECS = 1.0
_MOST_COINBASE_HEX = 200_000


def parts_of(block_hex: str) -> tuple[Header, bytes, bytes]:
    """Header, coinbase with witness, and coinbase without, of a block for submitblock. Raises DecodeError."""
    start = bytes.fromhex(block_hex[: 2 * HEADER_SIZE + _MOST_COINBASE_HEX])
    _, at = scan_count(start, HEADER_SIZE)
    bounds = scan_transaction(start, at)
    return Header.unpack(start[:HEADER_SIZE]), start[at : bounds.end], stripped(start, at, bounds)


async def submit_solution(session: IpcSession, block_hex: str) -> SubmitReply | None:
    """The node's answer, or None if the block is not of one of its templates. Raises IpcFailed.

    Release 31 also accepts a block that it has already, so an acceptance has to be confirmed by its place in the chain.
    It does not say why it refuses one: that settles nothing.
    """
    header, coinbase, bare = parts_of(block_hex)
    kept = session.kept_for(header, bare)
    if kept is None:
        return None
    is_new = session.version == NEW
    began = time.perf_counter()
    reply = await answered(
        (kept.remote.submitSolution if is_new else kept.remote.submitSolution31)(
            context=session.submitting,
            version=header.version,
            timestamp=header.ntime,
            nonce=header.nonce,
            coinbase=coinbase,
        )
    )
    secs = time.perf_counter() - began
    if reply.result:
        return SubmitReply(*classify_submit(None), secs)
    if not is_new:
        return SubmitReply(Answer.UNKNOWN, "false", secs)
    return SubmitReply(*classify_submit(printable(str(reply.reason), 200)), secs)


async def first_acceptance(by_rpc: asyncio.Task[SubmitReply], by_ipc: asyncio.Task[SubmitReply | None]) -> SubmitReply:
    """The first acceptance of a block; without one, RPC's answer, which alone may settle it.

    After RPC's answer IPC has GRACE_SECS more.
    """
    pending: set[asyncio.Task[SubmitReply] | asyncio.Task[SubmitReply | None]] = {by_rpc, by_ipc}
    while pending:
        patience_secs = GRACE_SECS if by_rpc.done() else None
        done, pending = await asyncio.wait(pending, timeout=patience_secs, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        for task in done:
            reply = task.result()
            if reply is not None and reply.answer is Answer.ACCEPTED:
                return reply
    return by_rpc.result()
