"""Tests in advance whether blocks can be submitted to a node, and repeats the test while it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from solominer.errors import NodeError
from solominer.node.health import one_line

FIRST_WAIT_SECS, LONGEST_WAIT_SECS = 2.0, 60.0

_log = logging.getLogger("solominer.node.client")


class SubmissionTrial:
    """The trials on the node called `node`. `attempt` makes one and raises NodeError if it fails.

    `report` is called after each trial with the problem, '' if there is none.
    """

    def __init__(self, node: str, attempt: Callable[[], Awaitable[None]], report: Callable[[str], None]) -> None:
        self._node, self._attempt, self._report = node, attempt, report
        self._due = asyncio.Event()

    def now(self) -> None:
        """Try now, because the node came back or was restarted."""
        self._due.set()

    async def run(self) -> NoReturn:
        """Try at once, whenever `now` is called, and repeatedly while it fails."""
        wait_secs = FIRST_WAIT_SECS
        while True:
            self._due.clear()
            problem = await self._try()
            self._report(problem)
            try:
                async with asyncio.timeout(wait_secs if problem else None):
                    await self._due.wait()
            except TimeoutError:
                wait_secs = min(2 * wait_secs, LONGEST_WAIT_SECS)
            else:
                wait_secs = FIRST_WAIT_SECS

    async def _try(self) -> str:
        try:
            await self._attempt()
        except NodeError as error:
            return one_line(error)
        except Exception as error:  # noqa: BLE001 - a trial must not end the daemon
            _log.exception("node %s: trying to submit failed unexpectedly", self._node)
            return f"{type(error).__name__}: {error}"
        return ""
