"""Templates, tips and submissions of one node by IPC, while it can be used; why it is not is said once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.networks import Network
from solominer.errors import NodeError, SolominerError
from solominer.node.ipc.connection import IpcLink
from solominer.node.ipc.submit import first_acceptance, submit_solution
from solominer.node.template import Fetched
from solominer.work.events import TipFacts
from solominer.work.ports import SubmitReply
from solominer.work.raw_template import Reserve, StatedTemplate, covers, empty_template_of, template_of
from solominer.work.template import Template, TemplateTx

READ_SECS = 0.9
"""Timeout of a template, after which it is asked by RPC."""
EMPTY_SECS = 0.02
"""Timeout of the empty template of a new tip that was heard of, after which the facts are asked by RPC."""
SUBMIT_SECS = 10.0

_T = TypeVar("_T")
_log = logging.getLogger("solominer.node.ipc")


class IpcSource:
    """The mining interface of node `name` at `path`; None: it is not used.

    `hash_at` asks the node by RPC for its block at a height: both must be the same node. `tip` hears of new tips.
    """

    def __init__(
        self,
        name: str,
        path: Path | None,
        network: Network,
        reserve: Reserve,
        *,
        hash_at: Callable[[int], Awaitable[bytes]],
        tip: Callable[[bytes], None],
    ) -> None:
        self.state = "off"
        """`off`, `live`, or why templates come by RPC."""
        self._name, self._network, self._reserve = name, network, reserve
        self._hash_at, self._tip = hash_at, tip
        self._link = None if path is None else self._link_to(path)
        self._basis: Template | None = None
        self._empty: tuple[bytes, StatedTemplate | None] = b"", None
        self._hint_came = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._distrusted = ""

    def _link_to(self, path: Path) -> IpcLink:
        return IpcLink(self._name, path, self._reserve, joined=self._joined, left=self._left, hinted=self._hinted)

    def start(self) -> None:
        """Connect, on an event loop."""
        if self._link is None:
            return
        if self._network.name == "signet":
            self._left("blocks of a signet are signed")
            return
        self.state = "connecting"
        self._link.start()

    def close(self) -> None:
        """Disconnect for good."""
        if self._link is not None:
            self._link.close()

    @property
    def is_live(self) -> bool:
        """Whether it can be asked."""
        return self.state == "live"

    def learn(self, template: Template) -> None:
        """A template by RPC was accepted: those by IPC may follow it."""
        self._basis = replace(template, transactions=())

    def distrust(self, reason: str) -> None:
        """The node's bytes contradict what it stated: use RPC for the rest of the run."""
        self._distrusted = f"its template was withdrawn: {reason}"
        self.close()
        self._left(self._distrusted)

    async def template(self, known: Mapping[bytes, TemplateTx]) -> Fetched | None:
        """A template, or None if it has to come by RPC. Never raises."""
        began = time.perf_counter()
        try:
            if self._link is None or not self.is_live or self._basis is None:
                return None
            stated = await self._link.ask(lambda session: session.read(self._reserve), READ_SECS)
            if not self._covers(stated):
                return None
            received = time.perf_counter()
            template = self._checked(lambda basis: template_of(stated, basis, self._network, self._reserve, known))
        except SolominerError as error:
            _log.warning("node %s: no template by IPC, asking by RPC: %s", self._name, error.what)
            return None
        return Fetched(template, received - began, time.perf_counter() - received)

    async def tip_facts(self, hash_le: bytes) -> TipFacts | None:
        """An empty template on this tip, with its facts; None if there is none. Never raises."""
        if not self.is_live:
            return None
        try:
            async with asyncio.timeout(EMPTY_SECS):
                while self._empty[0] != hash_le:
                    self._hint_came.clear()
                    await self._hint_came.wait()
            stated = self._empty[1]
            if stated is None or not self._covers(stated):
                return None
            empty = self._checked(lambda basis: empty_template_of(stated, basis, self._network, self._reserve))
        except TimeoutError:
            return None
        except SolominerError as error:
            _log.debug("node %s: no empty template by IPC: %s", self._name, error.what)
            return None
        time_, height = empty.curtime, empty.height - 1
        return TipFacts(hash_le, height, empty.version, time_, empty.mintime - 1, empty.nbits, empty)

    async def submit_beside(self, by_rpc: Coroutine[Any, Any, SubmitReply], block_hex: str) -> SubmitReply:
        """The answer to a block that is submitted by RPC and, if it is of a template by IPC, that way too."""
        if self._link is None or not self.is_live:
            return await by_rpc
        first, second = self._begin(by_rpc), self._begin(self._submit(self._link, block_hex))
        return await first_acceptance(first, second)

    async def _submit(self, link: IpcLink, block_hex: str) -> SubmitReply | None:
        try:
            return await link.ask(lambda session: submit_solution(session, block_hex), SUBMIT_SECS)
        except SolominerError as error:
            _log.warning("node %s: submission by IPC: %s", self._name, error.what)
            return None

    def _begin(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """A task that continues when nobody waits for it any more."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _covers(self, stated: StatedTemplate) -> bool:
        """Whether the last template by RPC holds for this one; if not, one by RPC is required. Raises TemplateError."""
        return self._basis is not None and covers(self._basis, stated)

    def _checked(self, make: Callable[[Template], Template]) -> Template:
        """What `make` returns; the connection is dropped if the node states what cannot be."""
        assert self._basis is not None
        try:
            return make(self._basis)
        except SolominerError as error:
            self._drop(error.what)
            raise

    # The link's news

    def _hinted(self, hash_le: bytes, empty: StatedTemplate) -> None:
        self._empty = hash_le, empty
        self._hint_came.set()
        if self.is_live:
            self._tip(hash_le)

    def _joined(self, version: str, tip_le: bytes, height: int) -> None:
        self._begin(self._same_node(version, tip_le, height))

    async def _same_node(self, version: str, tip_le: bytes, height: int) -> None:
        """Whether RPC knows the tip that IPC reports: otherwise the socket belongs to another node."""
        try:
            known = await self._hash_at(height) == tip_le
        except NodeError as error:
            self._drop(f"RPC does not confirm that it is the same node: {error.what}")
            return
        if not known:
            self._drop(f"it is another node's socket: RPC does not have its tip {to_rpc_hex(tip_le)}")
        elif not self._distrusted:
            self.state = "live"
            _log.info("node %s: templates by IPC (interface of release %s)", self._name, version)

    def _drop(self, reason: str) -> None:
        if self._link is not None:
            self._link.drop(reason)

    def _left(self, reason: str) -> None:
        reason = self._distrusted or reason
        if reason != self.state:
            level = logging.WARNING if self.is_live or self.state == "connecting" else logging.INFO
            _log.log(level, "node %s: templates by RPC, not by IPC: %s", self._name, reason)
        self.state = reason
