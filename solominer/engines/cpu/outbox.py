"""A worker's end of the pipe to the main process, with a limit on what may be lost and none on what may not."""

from __future__ import annotations

import os
import select
import time

from solominer.engines.cpu.messages import Message, pack

OFFERS_PER_SEC = 100
"""How many shares a worker may report in a second; an easy target would otherwise drown the main process in them."""


class Outbox:
    """Sends messages over the non-blocking pipe `fd`. BrokenPipeError says that the main process is gone."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        self._allowance = float(OFFERS_PER_SEC)
        self._seen_secs = time.monotonic()

    def send(self, message: Message) -> None:
        """Send what must arrive; waits for room in the pipe."""
        data = pack(message)
        while not self._write(data):
            self._room.poll()

    def offer(self, message: Message) -> bool:
        """Send if the limit allows and there is room; says whether it was sent."""
        now = time.monotonic()
        self._allowance = min(OFFERS_PER_SEC, self._allowance + (now - self._seen_secs) * OFFERS_PER_SEC)
        self._seen_secs = now
        if self._allowance < 1 or not self._write(pack(message)):
            return False
        self._allowance -= 1
        return True

    def _write(self, data: bytes) -> bool:
        try:
            os.write(self._fd, data)  # at most PIPE_BUF bytes: all or nothing
        except BlockingIOError:
            return False
        return True
