"""Tries, again and again while it fails, whether a node would take a block: before there is one to lose."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from solominer.errors import NodeError
from solominer.node.health import one_line

FIRST_WAIT_SECS, LONGEST_WAIT_SECS = 2.0, 60.0

_log = logging.getLogger("solominer.node.link")


class SubmissionTrial:
    """The trials at the node called `node`. `attempt` makes one and raises NodeError where it fails.

    `report` takes what is wrong, or '' where a block would be taken; it is called after each trial.
    """

    def __init__(self, node: str, attempt: Callable[[], Awaitable[None]], report: Callable[[str], None]) -> None:
        self._node, self._attempt, self._report = node, attempt, report
        self._due = asyncio.Event()

    def now(self) -> None:
        """Try now: the node came back, or was restarted."""
        self._due.set()

    async def run(self) -> NoReturn:
        """Try at once, whenever `now` is called, and while it fails."""
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
        except Exception as error:  # noqa: BLE001 - a trial must not end what it is for
            _log.exception("node %s: trying to submit failed unexpectedly", self._node)
            return f"{type(error).__name__}: {error}"
        return ""
