"""One thread with one connection to a node, for use from asyncio.

It is a daemon thread, since a call may hang: threads of the default executor would be joined at exit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from solominer.errors import NodeUnreachable
from solominer.node.rpc import RpcClient

_T = TypeVar("_T")
_Task = tuple[Callable[[RpcClient], Any], Future[Any]]


class RpcThread:
    """Runs functions of the `client` one after another, in a thread that starts with the first one.

    Cancelling an await does not end a running call, which keeps its timeout; `close` ends it at once.
    """

    def __init__(self, name: str, client: RpcClient) -> None:
        self.name = name
        self._client = client
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._closed = False

    async def run(self, function: Callable[[RpcClient], _T]) -> _T:
        """Run `function` in the thread; returns or raises what it does. Raises NodeUnreachable when closed."""
        if self._closed:
            raise NodeUnreachable(f"the connection {self.name!r} to the node is closed")
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"node-{self.name}", daemon=True)
            self._thread.start()
        future: Future[_T] = Future()
        self._tasks.put((function, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Close it; running and waiting calls raise NodeUnreachable."""
        self._closed = True
        self._client.interrupt()
        if self._thread is None:
            self._client.close()
        self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._do(*task)
            del task  # frees the result, which may be a large template
        self._client.close()

    def _do(self, function: Callable[[RpcClient], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function(self._client))
        except BaseException as error:  # noqa: BLE001 - passed on to the caller
            future.set_exception(error)
