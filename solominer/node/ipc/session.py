"""One connection to a node's mining interface: its capabilities, its server threads, and the templates kept there.

Everything here runs in the thread of `connection.IpcLink`, on its event loop; no object of pycapnp leaves it. A server
thread runs the calls that name it in turn, so there are three: one that waits, one that reads, one that submits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from solominer.chain.hashes import root_from_branch, sha256d
from solominer.chain.header import HEADER_SIZE, Header
from solominer.errors import IpcFailed, printable
from solominer.work.raw_template import USUAL_RESERVE, Reserve, StatedCoinbase, StatedTemplate

CONNECT_SECS = 2.0
KEEP_SECS = 660.0
"""How long a template is kept by the node: as long as its job, and a little."""
WAIT_SECS = 5.0
"""How long the node waits for a new tip before it answers that there is none."""

_SCHEMA = Path(__file__).with_name("mining.capnp")
_T = TypeVar("_T")


@cache
def schema() -> Any:
    """The module of mining.capnp. Raises IpcFailed without pycapnp."""
    try:
        import capnp
    except ImportError as error:
        raise IpcFailed("pycapnp is not installed", 'pip install "solominer[ipc]"') from error
    capnp.remove_import_hook()
    return capnp.load(str(_SCHEMA))


def capnp_error() -> type[Any]:
    """The class of pycapnp's errors."""
    import capnp

    error: type[Any] = capnp.KjException
    return error


async def answered(call: Awaitable[_T]) -> _T:
    """The answer to a call. Raises IpcFailed."""
    try:
        return await call
    except capnp_error() as error:
        raise IpcFailed(failure_text(error), gone=str(error.type) == "DISCONNECTED") from None


def failure_text(error: Any) -> str:
    """What a call failed with, in one line."""
    description = str(error.description).strip().splitlines() or [""]
    return printable(f"{str(error.type).lower()}: {description[0]}", 200)


@dataclass(frozen=True, slots=True)
class KeptTemplate:
    """A template that the node still has: what identifies its blocks, its capability, and when it was made."""

    prevhash_le: bytes
    merkle_branch: tuple[bytes, ...]
    remote: Any
    at: float


class IpcSession:
    """A connection whose handshake is done; `version` is set by the probe."""

    def __init__(self, stream: Any, client: Any, mining: Any, contexts: list[Any]) -> None:
        self.version = ""
        self.mining = mining
        self._stream, self._client = stream, client
        self.waiting, self.reading, self.submitting = contexts
        self._kept: deque[KeptTemplate] = deque()
        self._empty: KeptTemplate | None = None  # waited on, so it must not be destroyed
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, path: Path) -> IpcSession:
        """Connect. Raises IpcFailed, also if the node's interface is older than release 31."""
        import capnp

        known = schema()
        try:
            async with asyncio.timeout(CONNECT_SECS):
                stream = await capnp.AsyncIoStream.create_unix_connection(str(path))
                client = capnp.TwoPartyClient(stream)
                init = client.bootstrap().cast_as(known.Init)
                threads = (await answered(init.construct())).threadMap
                contexts = []
                for name in ("waiting", "reading", "submitting"):
                    context = known.Context.new_message()
                    context.thread = (await answered(threads.makeThread(f"solominer-{name}"))).result
                    contexts.append(context)
                mining = (await answered(init.makeMining(context=contexts[1]))).result
        except TimeoutError:
            raise IpcFailed(f"no answer within {CONNECT_SECS:g} s") from None
        except OSError as error:
            raise IpcFailed(f"cannot open {path}: {error.strerror or error}", gone=True) from None
        return cls(stream, client, mining, contexts)

    async def ended(self) -> None:
        """Return when the node has closed the connection."""
        await self._client.on_disconnect()

    def close(self) -> None:
        """Close the connection; the node drops what is kept for it."""
        self._kept.clear()
        self._empty = None
        self._client.close()
        self._stream.close()

    async def tip(self) -> tuple[bytes, int]:
        """Hash (internal order) and height of the tip. Raises IpcFailed."""
        reply = await answered(self.mining.getTip(context=self.reading))
        if not (reply.hasResult and reply._has("result")):
            raise IpcFailed("the node has no tip yet")
        return bytes(reply.result.hash), int(reply.result.height)

    async def next_empty(self, reserve: Reserve) -> StatedTemplate | None:
        """An empty template on the present tip; from the second call on, on the next one, or None after WAIT_SECS.

        The node makes it as soon as the tip changes, and sends what is asked of it in advance. Raises IpcFailed, also
        when the node stops.
        """
        last, began = self._empty, time.monotonic()
        if last is None:
            made = self._make(self.waiting, reserve, use_mempool=False)
        else:
            made = self.wait_next(last.remote, WAIT_SECS)
        try:
            async with asyncio.timeout(2 * WAIT_SECS):
                answer = await self._ask(made, self.waiting, "getBlockHeader", "getCoinbaseTx")
        except TimeoutError:
            raise IpcFailed(f"no answer within {2 * WAIT_SECS:g} s") from None
        if answer is None:
            if time.monotonic() - began < WAIT_SECS / 2:
                raise IpcFailed("the node stops", gone=True)
            return None
        remote, (header, coinbase) = answer
        stated = StatedTemplate(bytes(header.result), _coinbase(coinbase.result), (), b"", (), ())
        if len(stated.header) != HEADER_SIZE:
            raise IpcFailed(f"the node states a header of {len(stated.header)} bytes")
        if last is not None:
            self._kept.append(replace(last, at=time.monotonic()))
        self._empty = _kept(stated, remote)
        return stated

    async def read(self, reserve: Reserve) -> StatedTemplate:
        """A new template, all of it in one round trip; the node keeps it. Raises IpcFailed."""
        remote, stated = await self._all_of(self._make(self.reading, reserve, use_mempool=True))
        if len(stated.header) == HEADER_SIZE:
            self._kept.append(_kept(stated, remote))
        while self._kept and time.monotonic() - self._kept[0].at > KEEP_SECS:
            done = asyncio.ensure_future(self._destroy(self._kept.popleft()))
            self._tasks.add(done)
            done.add_done_callback(self._tasks.discard)
        return stated

    async def _destroy(self, kept: KeptTemplate) -> None:
        with suppress(IpcFailed):
            await answered(kept.remote.destroy(context=self.reading))

    async def try_out(self) -> Any:
        """The capability of a template that is not kept, after all that is read of one. Raises IpcFailed."""
        remote, _ = await self._all_of(self._make(self.reading, USUAL_RESERVE, use_mempool=False))
        return remote

    def wait_next(self, remote: Any, wait_secs: float) -> Any:
        """The call that waits for the next tip and makes a template on it, with the options of this one."""
        options = schema().BlockWaitOptions.new_message(timeout=1000 * wait_secs)
        return remote.waitNext(context=self.waiting, options=options)

    def _make(self, context: Any, reserve: Reserve, *, use_mempool: bool) -> Any:
        """The call that makes a template. More can be asked of its result before it is answered."""
        options = schema().BlockCreateOptions.new_message(
            useMempool=use_mempool,
            blockReservedWeight=reserve.weight,
            coinbaseOutputMaxAdditionalSigops=reserve.sigops,
        )
        return self.mining.createNewBlock(context=context, options=options, cooldown=False)

    async def _ask(self, made: Any, context: Any, *methods: str) -> tuple[Any, list[Any]] | None:
        """The template's capability and its replies to these methods, all asked for together; None without one."""
        calls = [getattr(made.result, method)(context=context) for method in methods]
        try:
            reply = await answered(made)
            if not reply._has("result"):
                return None
            return reply.result, [await answered(call) for call in calls]
        finally:
            for call in calls:
                call.cancel()

    async def _all_of(self, made: Any) -> tuple[Any, StatedTemplate]:
        names = "getBlockHeader", "getCoinbaseTx", "getCoinbaseMerklePath", "getBlock", "getTxFees", "getTxSigops"
        answer = await self._ask(made, self.reading, *names)
        if answer is None:
            raise IpcFailed("the node makes no template: it stops, or it was interrupted")
        remote, (header, coinbase, path, block, fees, sigops) = answer
        return remote, StatedTemplate(
            header=bytes(header.result),
            coinbase=_coinbase(coinbase.result),
            merkle_branch=tuple(bytes(each) for each in path.result),
            block=bytes(block.result),
            fees=tuple(fees.result),
            sigops=tuple(sigops.result),
        )

    def kept_for(self, header: Header, coinbase_stripped: bytes) -> KeptTemplate | None:
        """The template of a block with this header and coinbase, if the node still has it."""
        txid_le = sha256d(coinbase_stripped)
        for kept in [*reversed(self._kept), self._empty]:
            if kept is None or kept.prevhash_le != header.prevhash_le:
                continue
            if root_from_branch(txid_le, kept.merkle_branch) == header.merkle_root_le:
                return kept
        return None


def _kept(stated: StatedTemplate, remote: Any) -> KeptTemplate:
    return KeptTemplate(stated.read_header().prevhash_le, stated.merkle_branch, remote, time.monotonic())


def _coinbase(said: Any) -> StatedCoinbase:
    return StatedCoinbase(
        script_sig_prefix=bytes(said.scriptSigPrefix),
        witness=bytes(said.witness),
        reward=int(said.blockRewardRemaining),
        outputs=tuple(bytes(each) for each in said.requiredOutputs),
        locktime=int(said.lockTime),
    )
