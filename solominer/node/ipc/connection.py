"""Keeps a node's IPC socket connected, in a thread of its own: pycapnp needs an event loop that is its alone.

A connection counts once the probe has passed. When it is lost it is tried again, with increasing delays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from solominer.errors import IpcFailed, SolominerError
from solominer.node.ipc.probe import probe
from solominer.node.ipc.session import IpcSession, capnp_error, failure_text, schema
from solominer.work.raw_template import Reserve, StatedTemplate

ABSENT_WAIT_SECS = 0.5
"""How soon a node is tried again that is not there."""
REFUSED_WAIT_SECS, LONGEST_WAIT_SECS = 1.0, 60.0
"""How soon one is tried again that answers wrongly or too slowly; twice as long each time, up to the second."""

_SLACK_SECS = 1.0
_log = logging.getLogger("solominer.node.ipc")
_T = TypeVar("_T")


class IpcLink:
    """The connection to `path`. `joined` (version, hash and height of the tip), `left` (reason) and `hinted` (a tip's
    hash, and an empty template on it with this `reserve`) are called in the event loop that called `start`.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        reserve: Reserve,
        *,
        joined: Callable[[str, bytes, int], None],
        left: Callable[[str], None],
        hinted: Callable[[bytes, StatedTemplate], None],
    ) -> None:
        self._name, self._path, self._reserve = name, path, reserve
        self._joined, self._left, self._hinted = joined, left, hinted
        self._home: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._session: IpcSession | None = None
        self._dropped: asyncio.Future[str] | None = None
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread. Called once, on an event loop."""
        self._home = asyncio.get_running_loop()
        self._thread = Thread(target=self._work, name=f"ipc-{self._name}", daemon=True)
        self._thread.start()

    async def ask(self, function: Callable[[IpcSession], Awaitable[_T]], timeout_secs: float) -> _T:
        """Run `function` with the session, in the thread. Raises IpcFailed; a timeout drops the connection."""
        if self._loop is None:
            raise IpcFailed("not connected")
        try:
            coroutine = self._run(function, timeout_secs)
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise IpcFailed("the connection is closed") from None
        # A thread that ends at this moment cancels the call, or never begins it.
        done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=timeout_secs + _SLACK_SECS)
        if not done or future.cancelled():
            raise IpcFailed("the connection is closed")
        result = future.result()
        if isinstance(result, SolominerError):
            raise result
        return result

    def drop(self, reason: str) -> None:
        """Give up the present connection, if any; it is tried again after a while."""
        if self._loop is not None:
            self._post(self._loop, self._drop, reason)

    def close(self) -> None:
        """End the thread, without waiting for it."""
        if self._loop is not None and self._main is not None:
            self._post(self._loop, self._main.cancel)

    # What follows runs in the thread.

    def _work(self) -> None:
        try:
            asyncio.run(self._keep_connected())
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - the edge of this thread; RPC goes on without it
            _log.exception("node %s: the thread of IPC ended", self._name)
            self._tell(self._left, f"its thread ended: {error!r:.200}")

    async def _keep_connected(self) -> None:
        try:
            schema()
            import capnp
        except IpcFailed as error:
            self._tell(self._left, str(error).replace("\n  ", " "))
            return
        self._main, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        refusals = 0
        async with capnp.kj_loop():
            while True:
                began = time.monotonic()
                reason, refused = await self._one_connection()
                self._tell(self._left, reason)
                lasted = time.monotonic() - began > LONGEST_WAIT_SECS
                refusals = 0 if lasted or not refused else refusals + 1
                wait_secs = REFUSED_WAIT_SECS * (1 << min(refusals, 10)) / 2
                await asyncio.sleep(min(wait_secs, LONGEST_WAIT_SECS) if refused else ABSENT_WAIT_SECS)

    async def _one_connection(self) -> tuple[str, bool]:
        """Why it ended, and whether it was refused, by us or by the node."""
        try:
            session = await IpcSession.open(self._path)
        except IpcFailed as error:
            return error.what, not error.gone
        except capnp_error() as error:
            return failure_text(error), True
        try:
            await probe(session)
            tip_le, height = await session.tip()
            self._session = session
            self._tell(self._joined, session.version, tip_le, height)
            return await self._watch(session, tip_le)
        except IpcFailed as error:
            return error.what, not error.gone
        except capnp_error() as error:
            return failure_text(error), True
        finally:
            self._session = None
            session.close()

    async def _watch(self, session: IpcSession, tip_le: bytes) -> tuple[str, bool]:
        """Post each new tip, until the connection ends: why, and whether it was dropped."""
        self._dropped = asyncio.get_running_loop().create_future()
        ended = asyncio.ensure_future(session.ended())
        tips = asyncio.ensure_future(self._follow_tips(session, tip_le))
        try:
            ends: set[asyncio.Future[Any]] = {ended, tips, self._dropped}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._dropped.done():
                return self._dropped.result(), True
            if ended.done():
                return "the node closed the connection", False
            error = tips.exception()
            return getattr(error, "what", repr(error)), False
        finally:
            ended.cancel()
            tips.cancel()
            await asyncio.gather(ended, tips, return_exceptions=True)

    async def _follow_tips(self, session: IpcSession, tip_le: bytes) -> None:
        while True:
            stated = await session.next_empty(self._reserve)
            if stated is not None and (seen_le := stated.read_header().prevhash_le) != tip_le:
                tip_le = seen_le
                self._tell(self._hinted, tip_le, stated)

    async def _run(self, function: Callable[[IpcSession], Awaitable[_T]], timeout_secs: float) -> _T | SolominerError:
        """The result or the error of `function`; an error without its frames, which hold objects of this thread."""
        session = self._session
        if session is None:
            return IpcFailed("not connected")
        try:
            async with asyncio.timeout(timeout_secs):
                return await function(session)
        except TimeoutError:
            reason = f"no answer within {timeout_secs:g} s"
            self._drop(reason)
            return IpcFailed(reason)
        except capnp_error() as error:  # an answer that cannot be read
            return IpcFailed(failure_text(error))
        except SolominerError as error:
            return error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - whatever it is, RPC has to go on
            _log.exception("node %s: a call by IPC failed unexpectedly", self._name)
            return IpcFailed(f"unexpectedly: {error!r:.200}")

    def _drop(self, reason: str) -> None:
        if self._session is not None and self._dropped is not None and not self._dropped.done():
            self._dropped.set_result(reason)

    def _tell(self, function: Callable[..., None], *args: object) -> None:
        if self._home is not None:
            self._post(self._home, function, *args)

    @staticmethod
    def _post(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(function, *args)
