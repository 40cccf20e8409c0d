"""The daemon's interface to one configured node. Everything it learns is posted as an event."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TypeVar

from solominer.chain.networks import Network
from solominer.errors import (
    MethodNotAllowed,
    NodeAuthFailed,
    NodeError,
    RpcFailed,
    TemplateError,
    UnsafeConsensus,
    WrongNetwork,
)
from solominer.node import headers, health, signing, submit
from solominer.node.backoff import Outage
from solominer.node.credentials import CookieFile, Credentials
from solominer.node.health import one_line
from solominer.node.history import difficulty_forecast
from solominer.node.ipc.source import IpcSource
from solominer.node.login import Login
from solominer.node.longpoll import BESIDE_SECS, LongPollTrial, wait_for_tip
from solominer.node.payout import payout_to, regtest_payout
from solominer.node.rpc import METHOD_NOT_FOUND, RpcClient
from solominer.node.rpc_gate import CROWDED_SECS, RpcGate
from solominer.node.rpc_thread import RpcThread
from solominer.node.submit_trial import SubmissionTrial
from solominer.node.template import Fetched, fetch_template
from solominer.node.tips import TipWatch
from solominer.node.zmq_hints import ZmqHints
from solominer.work.events import (
    Answer,
    Event,
    HealthSeen,
    NodeHealth,
    SubmittingTried,
    TemplateFailed,
    TemplateReady,
    TipFacts,
    TransactionsChecked,
)
from solominer.work.instant import Clock
from solominer.work.payout import Payout
from solominer.work.ports import BlockPosition, DifficultyForecast, SubmitReply
from solominer.work.raw_template import USUAL_RESERVE, Reserve
from solominer.work.raw_transactions import RawTransactions
from solominer.work.template import Template, TemplateTx
from solominer.work.transaction_check import TransactionCheck

_log = logging.getLogger("solominer.node.client")
_T = TypeVar("_T")

_CHECK_SLICE_SECS = 0.002
"""How long the check of transactions runs before it yields to the event loop."""


_LOST_HEALTH_SECS = 1.0
"""How soon the health of an unreachable node is checked again."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """One node: name, address, credentials, polling intervals and timeouts.

    `zmq_hashblock` and `zmq_sequence` are addresses as in bitcoin.conf, or None. `submits`: blocks are submitted in
    this mode, so submission is tested in advance. `ipc_socket` is that of the node's mining interface, or None;
    `reserve` is what templates by it leave for the coinbase.
    """

    name: str
    host: str
    port: int
    credentials: Credentials
    network: Network
    zmq_hashblock: str | None = None
    zmq_sequence: str | None = None
    poll_secs: float = 1.0
    health_secs: float = 10.0
    timeout_secs: float = 30.0
    poll_timeout_secs: float = 5.0
    submits: bool = True
    ipc_socket: Path | None = None
    reserve: Reserve = USUAL_RESERVE

    def connect(self, login: Login | None = None) -> RpcClient:
        """A client with its own connection, not yet opened; the connections of a NodeClient share one `login`."""
        return RpcClient(
            self.host,
            self.port,
            login or self.credentials,
            name=self.name,
            network=self.network,
            timeout_secs=self.timeout_secs,
        )


class NodeClient:
    """The node of `settings`. `post` is called with events in the event loop's thread; `clock` reads both clocks.

    `run` watches the node until it is cancelled or the client closed; the other methods may be used with or without it.
    """

    def __init__(self, settings: NodeSettings, post: Callable[[Event], None], clock: Clock) -> None:
        self.settings = settings
        self._post, self._clock = post, clock
        self._watch = TipWatch(settings.name, post, clock)
        self._zmq = ZmqHints(settings.name, settings.zmq_hashblock, settings.zmq_sequence, self._watch)
        self._gate = RpcGate(settings.name)
        self._trial = LongPollTrial()
        self._login = Login(settings.credentials)
        self._threads = {name: self._thread(name) for name in ("templates", "poll", "health", "longpoll", "misc")}
        self._one_offs: set[RpcThread] = set()
        self._ipc = IpcSource(
            settings.name, settings.ipc_socket, settings.network, settings.reserve,
            hash_at=self.hash_at, tip=lambda hash_le: self._watch.hinted(hash_le, "ipc"),
        )  # fmt: skip
        self._outage = Outage(settings.name)
        self._submitting = SubmissionTrial(settings.name, self._try_submitting, self._submitting_tried)
        self._logins = 0
        self._look_now = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._signer: signing.BlockSigner | None = None
        self._pinned = False
        self._known: dict[bytes, TemplateTx] = {}
        self._checked: Mapping[bytes, Collection[bytes]] = {}

    @property
    def name(self) -> str:
        """The node's name in the configuration."""
        return self.settings.name

    @property
    def network(self) -> Network:
        """The network it must be on."""
        return self.settings.network

    async def run(self) -> NoReturn:
        """Watch tips and health until `close`, also of an unreachable node; unexpected errors are raised."""
        self._watching = asyncio.current_task()
        self._ipc.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll_tips(), name=f"poll-{self.name}")
            group.create_task(self._watch_health(), name=f"health-{self.name}")
            if self.settings.submits:
                group.create_task(self._submitting.run(), name=f"submission-trial-{self.name}")
            if self._zmq.publishers:
                group.create_task(self._zmq.run(), name=f"zmq-{self.name}")
            else:
                group.create_task(self._long_poll(), name=f"longpoll-{self.name}")
        raise RuntimeError(f"the tasks of node {self.name} ended unexpectedly")

    async def close(self) -> None:
        """End `run` and close all connections; pending calls raise NodeUnreachable."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])  # otherwise it would report the node as unreachable
        self._ipc.close()
        for thread in (*self._threads.values(), *self._one_offs):
            thread.close()

    def may_recover(self, error: NodeError) -> bool:
        """Whether retrying can help. A missing cookie can: the node writes it when it starts."""
        if isinstance(error, NodeAuthFailed):
            return isinstance(self.settings.credentials, CookieFile)
        return not isinstance(error, WrongNetwork | UnsafeConsensus)

    # Work

    async def fetch_template(self, reason: str) -> None:
        """Fetch a template and post TemplateReady or TemplateFailed."""
        try:
            fetched = await self._ipc.template(self._known)
            if fetched is None:
                fetched = await self._ask("templates", self._fetch)
                self._ipc.learn(fetched.template)
        except TemplateError as error:
            _log.error("node %s: %s", self.name, one_line(error))
            self._post(TemplateFailed(self._clock(), self.name, one_line(error), refused=True))
        except NodeError as error:
            self._pinned = False
            self._post(TemplateFailed(self._clock(), self.name, one_line(error)))
        else:
            self._ready(fetched, reason)

    async def check_transactions(self, template: Template) -> None:
        """Run the slow half of a template's validation (rule 6), a little at a time; post TransactionsChecked."""
        problem = ""
        check = TransactionCheck(template, self._checked)
        try:
            while check.step(_CHECK_SLICE_SECS, time.perf_counter):
                await asyncio.sleep(0)
            self._known = {tx.wtxid_le: tx for tx in template.transactions}
            self._checked = check.checked
        except TemplateError as error:
            problem = one_line(error)
            if isinstance(template.transactions, RawTransactions):
                self._ipc.distrust(problem)
            _log.error(
                "node %s, template %s at height %d: %s", self.name, template.template_id, template.height, problem
            )
        self._post(TransactionsChecked(self._clock(), self.name, template.template_id, problem))

    async def payout(self, address: str) -> Payout:
        """The Payout of `address`, or of the private node's wallet if it is empty (regtest only).

        Raises PayoutError, WrongNetwork, or NodeError.
        """
        network = self.settings.network
        if address:
            return await self._ask("misc", lambda client: payout_to(client, address, network))
        return await self._ask("misc", lambda client: regtest_payout(client, network))

    async def must_sign(self) -> bool:
        """Whether this chain's blocks are signed (signet). Raises SigningRefused if the node cannot, or NodeError."""
        network = self.settings.network
        self._signer = await self._ask("misc", lambda client: signing.signer_for(client, network))
        return self._signer is not None

    async def sign(self, data: bytes) -> bytes:
        """The signet solution for the 72 bytes of a block. Raises SigningRefused or NodeError."""
        signer = self._signer
        if signer is None:
            if not await self.must_sign() or self._signer is None:
                raise NodeError(f"node {self.name} does not require signatures", "check that it is on the same signet")
            signer = self._signer
        return await self._ask("misc", lambda client: signer.sign(client, data))

    # Blocks

    async def submit(self, block_hex: str) -> SubmitReply:
        """Submit a block on its own connection. Never raises NodeError."""
        with self._gate.sending():
            by_rpc = self._reply("submit", lambda client: submit.submit_block(client, block_hex))
            reply = await self._ipc.submit_beside(by_rpc, block_hex)
            if reply.answer in (Answer.ACCEPTED, Answer.INVALID):
                first = reply
                network = self.settings.network
                reply = await self._reply("submit", lambda each: submit.check_reply(each, network, block_hex, first))
        _log.debug("node %s answered a block with %r in %.3f s", self.name, reply.raw, reply.rpc_secs)
        return reply

    async def _try_submitting(self) -> None:
        """Test submission on the path of a block, but with the priority of other calls. Raises NodeError."""
        async with self._gate.turn():
            await self._alone("submit", submit.try_submitting)

    def _submitting_tried(self, problem: str) -> None:
        if not (problem and self._outage.ongoing):  # an outage is reported separately, and its end starts a new trial
            self._post(SubmittingTried(self._clock(), self.name, problem))

    async def propose(self, block_hex: str) -> SubmitReply:
        """Ask whether an unsolved block would be valid, on its own connection. Never raises NodeError."""
        async with self._gate.turn():
            reply = await self._reply("propose", lambda client: submit.propose_block(client, block_hex))
            if reply.answer not in (Answer.ACCEPTED, Answer.INVALID):
                return reply
            return await self._reply("propose", lambda client: submit.check_proposal(client, block_hex, reply))

    async def _reply(self, purpose: str, function: Callable[[RpcClient], SubmitReply]) -> SubmitReply:
        """As `_alone`; the answer is unknown if the connection is closed meanwhile, because the run ends."""
        try:
            return await self._alone(purpose, function)
        except NodeError as error:
            return SubmitReply(*submit.classify_submit(error), 0.0)

    async def where_is(self, hash_le: bytes, height: int) -> BlockPosition:
        """Where the node has a block. An answer that may end its tracking is confirmed on another connection.

        Raises NodeError.
        """
        network = self.settings.network
        found = await self._ask("misc", lambda client: submit.where_is(client, hash_le, height))
        if found.confirmations is None:  # as at a node that was started on another network
            await self._ask("misc", lambda client: health.pin_network(client, network))
        if found.confirmations is None or (found.confirmations < 1 and not found.rival_hex):
            return found
        again = await self._ask("health", lambda client: submit.where_is(client, hash_le, height))
        return submit.agreed(found, again)

    async def hash_at(self, height: int) -> bytes:
        """The active block at a height, empty if there is none. Raises NodeError."""
        return await self._ask("misc", lambda client: headers.hash_at(client, height))

    async def tip_facts(self, hash_le: bytes) -> TipFacts:
        """The facts of a block's header that an empty block on top of it requires. Raises NodeError."""
        if (facts := await self._ipc.tip_facts(hash_le)) is not None:
            return facts
        return await self._ask("misc", lambda client: submit.tip_facts(client, hash_le))

    async def forecast_difficulty(self) -> DifficultyForecast | None:
        """As Node.forecast_difficulty; reads about 250 headers on its own connection."""
        return await self._alone("forecast", lambda client: difficulty_forecast(client, self.network))

    async def look(self) -> NodeHealth:
        """Check the node's health once, without posting it. Never raises NodeError."""
        network, now = self.settings.network, self._clock().wall
        try:
            seen = await self._ask("health", lambda client: health.look(client, network, node=self.name, now=now))
        except NodeError as error:  # the connection was closed: the run ends
            seen = health.unreachable(self.name, error)
        return replace(seen, zmq=self._zmq.state, ipc=self._ipc.state)

    # Watching

    async def _poll_tips(self) -> None:
        while True:
            changes, asked = self._watch.changes, time.monotonic()
            self._trial.asked(asked)
            try:
                best_le = await self._ask("poll", self._best_hash)
            except NodeError as error:
                self._lost(error)
                await asyncio.sleep(self._outage.next_wait_secs())
                continue
            self._trial.answered(asked, time.monotonic())
            self._found()
            first = not self._watch.best_le
            if self._watch.polled(best_le, changes) and not first:
                self._zmq.poll_was_first(time.monotonic())
            self._zmq.check_silence(time.monotonic())
            await self._watch.wait_for_kick(self.settings.poll_secs)

    def _best_hash(self, client: RpcClient) -> bytes:
        return submit.best_hash(client, timeout_secs=self.settings.poll_timeout_secs)

    async def _watch_health(self) -> None:
        while True:
            self._look_now.clear()
            seen = await self.look()
            if not (seen.reachable and self._outage.ongoing):  # the poll has precedence during an outage, and ends it
                self._post(HealthSeen(self._clock(), seen))
            try:
                async with asyncio.timeout(self.settings.health_secs if seen.reachable else _LOST_HEALTH_SECS):
                    await self._look_now.wait()
            except TimeoutError:
                pass

    async def _long_poll(self) -> None:
        """Wait for new tips with long polls, for nodes without ZMQ."""
        pause = Outage(self.name)
        while True:
            if self._gate.crowded:
                await asyncio.sleep(CROWDED_SECS)
                continue
            try:
                blocked = await self._wait_for_news()
            except NodeError as error:
                if self._may_not_wait(error):
                    _log.warning("node %s: no long polling, using plain polling: %s", self.name, one_line(error))
                    return
                _log.debug("node %s: long poll: %s", self.name, one_line(error))
                await asyncio.sleep(pause.next_wait_secs())
                continue
            pause.over()
            if blocked:
                self._trial = LongPollTrial()
                reason = "all its RPC threads are in use: other calls waited for the end of our long poll"
                polling = f"using plain polling every {self.settings.poll_secs:g} s, and calls take turns"
                self._gate.crowd(reason, polling)

    async def _wait_for_news(self) -> bool:
        """One long poll with a poll in parallel; returns whether to stop long polling. Raises NodeError."""
        trial, changes = self._trial, self._watch.changes
        patience_secs = self.settings.poll_timeout_secs
        began = time.monotonic()
        trial.began(began)
        kick = asyncio.get_running_loop().call_later(1.5 * BESIDE_SECS, self._watch.kick)
        try:
            best_le = await self._threads["longpoll"].run(
                lambda client: wait_for_tip(client, trial.wait_secs, patience_secs)
            )
        finally:
            kick.cancel()
        watch = self._watch
        early = time.monotonic() - began < trial.wait_secs / 2
        news = best_le != watch.best_le or changes != watch.changes
        blocked = trial.ended(conclusive=not (news or early))  # before the next poll is answered
        if best_le != watch.best_le:
            known = watch.changes
            if known != changes:  # a poll was first: which of the two answers is newer?
                best_le = await self._threads["longpoll"].run(self._best_hash)
            watch.polled(best_le, known, "longpoll")
        await asyncio.sleep(trial.pause_secs(idle=early and not news))
        return blocked

    def _may_not_wait(self, error: NodeError) -> bool:
        """Whether the node lacks the long poll or does not allow it."""
        unknown = isinstance(error, RpcFailed) and error.code == METHOD_NOT_FOUND
        return unknown or isinstance(error, MethodNotAllowed)

    def _fetch(self, client: RpcClient) -> Fetched:
        if not self._pinned:
            health.pin_network(client, self.settings.network)
            self._pinned = True
        return fetch_template(client, self.settings.network, self._known)

    def _ready(self, fetched: Fetched, reason: str) -> None:
        template = fetched.template
        _log.debug(
            "node %s: template %s at height %d, %d transactions, in %.0f ms, parsed in %.0f ms (%s)",
            self.name, template.template_id, template.height, len(template.transactions),
            fetched.rpc_secs * 1e3, fetched.parse_secs * 1e3, reason,
        )  # fmt: skip
        self._post(TemplateReady(self._clock(), self.name, template, fetched.rpc_secs, fetched.parse_secs))

    def _lost(self, error: NodeError) -> None:
        self._pinned = False
        if self._outage.begins(one_line(error)):
            self._post(
                HealthSeen(
                    self._clock(),
                    replace(health.unreachable(self.name, error), zmq=self._zmq.state, ipc=self._ipc.state),
                )
            )

    def _found(self) -> None:
        back, logins = self._outage.over(), self._login.changes
        if back:
            self._look_now.set()
        if back or logins != self._logins > 0:  # another login is accepted: the node was restarted unnoticed
            self._submitting.now()
        self._logins = logins

    async def _ask(self, name: str, function: Callable[[RpcClient], _T]) -> _T:
        """Run `function` on the permanent connection `name`, when it is its turn."""
        async with self._gate.turn():
            return await self._threads[name].run(function)

    async def _alone(self, purpose: str, function: Callable[[RpcClient], _T]) -> _T:
        """Run `function` on a new connection."""
        thread = self._thread(purpose)
        self._one_offs.add(thread)
        try:
            return await thread.run(function)
        finally:
            self._one_offs.discard(thread)
            thread.close()

    def _thread(self, name: str) -> RpcThread:
        client = self.settings.connect(self._login)
        client.on_queue_full = self._gate.queue_full
        return RpcThread(f"{self.settings.name}-{name}", client)
