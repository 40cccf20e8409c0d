"""Answers that are made in a thread and kept: what twenty pages ask for at the same time is read once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel

MOST = 32


class Answers:
    """Keeps the newest answer for each key until its stamp changes; at most MOST answers."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[object, asyncio.Task[bytes]]] = OrderedDict()

    async def json(self, key: Hashable, stamp: object, make: Callable[[], BaseModel | bytes]) -> Response:
        """The response for `key`: `make` runs in a thread unless the answer with this stamp is kept or being made."""
        return Response(await self._get(key, stamp, make), media_type="application/json")

    async def _get(self, key: Hashable, stamp: object, make: Callable[[], BaseModel | bytes]) -> bytes:
        known = self._kept.get(key)
        if known is None or known[0] != stamp or _failed(known[1]):
            task = asyncio.create_task(asyncio.to_thread(_encoded, make))
            task.add_done_callback(_failed)  # takes note of its exception where nobody waits for it any more
            known = self._kept[key] = (stamp, task)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return await asyncio.shield(known[1])


def _encoded(make: Callable[[], BaseModel | bytes]) -> bytes:
    made = make()
    return made if isinstance(made, bytes) else made.model_dump_json().encode()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
