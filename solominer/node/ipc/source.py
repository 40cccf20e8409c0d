"""Templates, tips and submissions of one node by IPC, while it can be used; why it is not is said once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.networks import Network
from solominer.errors import NodeError, SolominerError
from solominer.node.ipc.connection import IpcLink
from solominer.node.ipc.session import IpcSession
from solominer.node.ipc.submit import submit_solution
from solominer.node.template import Fetched
from solominer.work.events import TipFacts
from solominer.work.ports import SubmitReply
from solominer.work.raw_template import (
    Basis,
    Reserve,
    StatedTemplate,
    empty_template_of,
    stated_height,
    stated_version,
    template_of,
)
from solominer.work.template import Template, TemplateTx

READ_SECS = 0.9
"""Timeout of a template, after which it is asked by RPC."""
EMPTY_SECS = 0.25
SUBMIT_SECS = 60.0

_log = logging.getLogger("solominer.node.ipc")


class IpcSource:
    """The mining interface of node `name` at `path`.

    `hash_at` asks the node by RPC for its block at a height: both must be the same node. `tip` hears of new tips.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        network: Network,
        reserve: Reserve,
        *,
        hash_at: Callable[[int], Awaitable[bytes]],
        tip: Callable[[bytes], None],
    ) -> None:
        self.state = "connecting"
        """`live`, or why templates come by RPC."""
        self._name, self._network, self._reserve = name, network, reserve
        self._hash_at, self._tip = hash_at, tip
        self._link = IpcLink(name, path, joined=self._joined, left=self._left, hinted=self._hinted)
        self._basis: Basis | None = None
        self._checks: set[asyncio.Task[None]] = set()
        self._distrusted = ""

    def start(self) -> None:
        """Connect, on an event loop."""
        self._link.start()

    def close(self) -> None:
        """Disconnect for good."""
        self._link.close()

    @property
    def is_live(self) -> bool:
        """Whether it can be asked."""
        return self.state == "live"

    def learn(self, template: Template) -> None:
        """A template by RPC was accepted: those by IPC may follow it."""
        self._basis = Basis.of(template)

    def distrust(self, reason: str) -> None:
        """The node's bytes contradict what it stated: use RPC for the rest of the run."""
        self._distrusted = f"its template was withdrawn: {reason}"
        self._link.close()
        self._left(self._distrusted)

    async def template(self, known: Mapping[bytes, TemplateTx]) -> Fetched | None:
        """A template, or None if one by RPC is required first. Raises IpcFailed, TemplateError."""
        if self._basis is None:
            return None
        began = time.perf_counter()
        stated = await self._read(READ_SECS, use_mempool=True)
        received = time.perf_counter()
        if not self._basis.covers(stated_height(stated), stated_version(stated)):
            return None
        template = self._checked(lambda basis: template_of(stated, basis, self._network, self._reserve, known))
        return Fetched(template, received - began, time.perf_counter() - received)

    async def tip_facts(self, hash_le: bytes) -> TipFacts | None:
        """An empty template on this tip, with its facts; None if there is none. Never raises."""
        if not self.is_live or self._basis is None:
            return None
        try:
            stated = await self._read(EMPTY_SECS, use_mempool=False)
            if not self._basis.covers(stated_height(stated), stated_version(stated)):
                return None
            empty = self._checked(lambda basis: empty_template_of(stated, basis, self._network, self._reserve))
        except SolominerError as error:
            _log.debug("node %s: no empty template by IPC: %s", self._name, error.what)
            return None
        if empty.prevhash_le != hash_le:
            return None
        time_, height = empty.curtime, empty.height - 1
        return TipFacts(hash_le, height, empty.version, time_, empty.mintime - 1, empty.nbits, empty)

    async def submit(self, block_hex: str) -> SubmitReply | None:
        """The answer to a block of one of its templates; None if it cannot be asked. Never raises."""
        if not self.is_live:
            return None
        try:
            return await self._link.ask(lambda session: submit_solution(session, block_hex), SUBMIT_SECS)
        except SolominerError as error:
            _log.warning("node %s: submission by IPC: %s", self._name, error.what)
            return None

    async def _read(self, timeout_secs: float, *, use_mempool: bool) -> StatedTemplate:
        reserve = self._reserve

        async def read(session: IpcSession) -> StatedTemplate:
            return await session.read(reserve, use_mempool=use_mempool)

        return await self._link.ask(read, timeout_secs)

    def _checked(self, make: Callable[[Basis], Template]) -> Template:
        """What `make` returns; the connection is dropped if the node states what cannot be."""
        assert self._basis is not None
        try:
            return make(self._basis)
        except SolominerError as error:
            self._link.drop(error.what)
            raise

    # The link's news

    def _hinted(self, hash_le: bytes) -> None:
        if self.is_live:
            self._tip(hash_le)

    def _joined(self, version: str, tip_le: bytes, height: int) -> None:
        check = asyncio.ensure_future(self._same_node(version, tip_le, height))
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)

    async def _same_node(self, version: str, tip_le: bytes, height: int) -> None:
        """Whether RPC knows the tip that IPC reports: otherwise the socket belongs to another node."""
        try:
            known = await self._hash_at(height) == tip_le
        except NodeError as error:
            self._link.drop(f"RPC does not confirm that it is the same node: {error.what}")
            return
        if not known:
            self._link.drop(f"it is another node's socket: RPC does not have its tip {to_rpc_hex(tip_le)}")
        elif not self._distrusted:
            self.state = "live"
            _log.info("node %s: templates by IPC (interface of release %s)", self._name, version)

    def _left(self, reason: str) -> None:
        reason = self._distrusted or reason
        if reason != self.state:
            level = logging.WARNING if self.is_live or self.state == "connecting" else logging.INFO
            _log.log(level, "node %s: templates by RPC, not by IPC: %s", self._name, reason)
        self.state = reason
