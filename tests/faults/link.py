"""A TCP link that can be cut: connections stay, and nothing comes through, as when a cable is pulled."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self


class Link:
    """Forwards connections to `port` of this machine, from one of its own; a context manager with a thread.

    "To" is the way to that port. While either way is cut, no new connection comes about, as with TCP.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._to, self._back = asyncio.Event(), asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self, *, to: bool = True, back: bool = True) -> None:
        """From now on nothing comes through on these ways."""
        for way, is_cut in ((self._to, to), (self._back, back)):
            if is_cut:
                self._loop.call_soon_threadsafe(way.clear)

    def mend(self) -> None:
        """What was held comes through, and what follows."""
        for way in (self._to, self._back):
            self._loop.call_soon_threadsafe(way.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._to.set()
        self._back.set()
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        closing = (writer.wait_closed() for writer in self._writers)
        self._loop.run_until_complete(asyncio.gather(*self._tasks, *closing, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        await self._to.wait()
        await self._back.wait()
        try:
            beyond = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers.add(beyond[1])
        for source, sink, way in ((reader, beyond[1], self._to), (beyond[0], writer, self._back)):
            task = self._loop.create_task(self._forward(source, sink, way))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                await way.wait()
                sink.write(data)
                await sink.drain()
        await way.wait()
        sink.close()
