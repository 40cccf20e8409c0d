"""A node's mining interface for tests: a pycapnp server that speaks releases 30, 31 and 32, and misbehaves as told."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import capnp

from solominer.chain.hashes import root_from_branch, sha256d
from solominer.chain.header import Header
from solominer.chain.scan import scan_transaction, stripped
from solominer.node.ipc import session
from solominer.work.raw_template import StatedTemplate

_SCHEMA = Path(session.__file__).with_name("mining.capnp")


@cache
def schema_of(release: int) -> Any:
    """The schema of a release's server: a method that it lacks is unknown to it, as to that node."""
    text = _SCHEMA.read_text()
    if release < 31:
        text = re.sub(r"\n    makeMining @3 .*", "", text)
    if release != 32:
        text = re.sub(r"\n    submitSolution @10 [^;]*;", "", text)
    if release > 32:
        text = re.sub(r"\n    (submitSolution31 @7 [^;]*|waitNext @8 .*|unused9 @9 .*);", "", text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"mining-{release}.capnp")
        path.write_text(text)
        return capnp.SchemaParser().load(str(path))


class Refused(Exception):
    """What a server method raises becomes a failure of the call."""


@dataclass
class Behaviour:
    """What the node has, and how it answers. Changed by tests while it runs.

    `release` is 30, 31, 32, or 33 for one that submits by yet another method. `full` and `empty` are its templates.
    `verdicts` are the reasons with which it refuses blocks, one each; without any it accepts. `sleeps` are delays of
    methods in seconds, `failing` methods that raise, `nothing` methods without a result.
    """

    release: int = 32
    full: StatedTemplate | None = None
    empty: StatedTemplate | None = None
    tip_le: bytes = bytes(32)
    height: int = 100
    verdicts: list[str] = field(default_factory=list)
    sleeps: dict[str, float] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    nothing: set[str] = field(default_factory=set)
    accepts_anything: bool = False
    called: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    options: list[tuple[bool, int, int, bool]] = field(default_factory=list)
    solutions: list[tuple[bytes, bytes]] = field(default_factory=list)
    destroyed: int = 0

    def on_tip(self, *, use_mempool: bool) -> StatedTemplate:
        """A template; an empty one is on the present tip."""
        assert self.full is not None
        assert self.empty is not None
        if use_mempool:
            return self.full
        header = replace(Header.unpack(self.empty.header), prevhash_le=self.tip_le)
        return replace(self.empty, header=header.pack())

    async def on(self, method: str) -> None:
        """A call of this method begins."""
        self.called.append(method)
        if secs := self.sleeps.get(method, 0.0):
            await asyncio.sleep(secs)
        if method in self.failing:
            raise Refused(f"{method} failed as told")


class MockNode:
    """Listens at `path` in a thread of its own; a context manager. Each server thread runs its calls in turn."""

    def __init__(self, path: Path, behaviour: Behaviour) -> None:
        self.path, self.does = path, behaviour
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: set[Any] = set()
        self._tip_changed: asyncio.Event | None = None
        self._started = Event()
        self._stop: asyncio.Event | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._started.clear()
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    def stop(self) -> None:
        """Close the socket and all connections, as a node that ends."""
        if self._loop is None or self._stop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop = None

    def new_tip(self, tip_le: bytes) -> None:
        """The tip changes; who waits for it is told."""
        done: Future[None] = Future()

        def change() -> None:
            self.does.tip_le, self.does.height = tip_le, self.does.height + 1
            assert self._tip_changed is not None
            self._tip_changed.set()
            self._tip_changed = asyncio.Event()
            done.set_result(None)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(change)
        done.result(5)

    async def _serve(self) -> None:
        self._loop, self._stop, self._tip_changed = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self.path.unlink(missing_ok=True)
        async with capnp.kj_loop():
            server = await capnp.AsyncIoStream.create_unix_server(self._connected, str(self.path))
            self._started.set()
            await self._stop.wait()
            server.close()
            for stream in list(self._streams):
                stream.close()
            self.path.unlink(missing_ok=True)

    async def _connected(self, stream: Any) -> None:
        self._streams.add(stream)
        try:
            await capnp.TwoPartyServer(stream, bootstrap=_init(self)()).on_disconnect()
        finally:
            self._streams.discard(stream)

    async def next_tip(self, tip_le: bytes, timeout_ms: float) -> bytes:
        """The tip when it is no longer this one, or after the timeout."""
        assert self._tip_changed is not None
        end = time.monotonic() + timeout_ms / 1000
        while self.does.tip_le == tip_le and (rest := end - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._tip_changed.wait(), rest)
            except TimeoutError:
                break
        return self.does.tip_le


def _init(node: MockNode) -> type:
    does = node.does
    known = schema_of(does.release)
    turns: dict[str, asyncio.Lock] = {}

    class RemoteThread(known.Thread.Server):  # type: ignore[misc, name-defined]
        def __init__(self, name: str) -> None:
            self.name = name

        async def getName(self, **_: Any) -> str:
            return self.name

    async def begin(method: str, context: Any) -> asyncio.Lock:
        """Wait for the server thread that the call names."""
        assert context._has("thread"), f"{method} needs a thread"
        name = (await context.thread.getName()).result
        turn = turns.setdefault(name, asyncio.Lock())
        await turn.acquire()
        does.threads.append(f"{method} on {name}")
        try:
            await does.on(method)
        except BaseException:
            turn.release()
            raise
        return turn

    class Threads(known.ThreadMap.Server):  # type: ignore[misc, name-defined]
        async def makeThread(self, name: str, **_: Any) -> Any:
            return RemoteThread(name)

    class Template(known.BlockTemplate.Server):  # type: ignore[misc, name-defined]
        def __init__(self, stated: StatedTemplate) -> None:
            self.stated = stated

        async def destroy_context(self, call: Any) -> None:
            (await begin("destroy", call.params.context)).release()
            does.destroyed += 1

        async def getBlockHeader_context(self, call: Any) -> None:
            (await begin("getBlockHeader", call.params.context)).release()
            call.results.result = self.stated.header

        async def getBlock_context(self, call: Any) -> None:
            (await begin("getBlock", call.params.context)).release()
            call.results.result = self.stated.block

        async def getTxFees_context(self, call: Any) -> None:
            (await begin("getTxFees", call.params.context)).release()
            call.results.result = list(self.stated.fees)

        async def getTxSigops_context(self, call: Any) -> None:
            (await begin("getTxSigops", call.params.context)).release()
            call.results.result = list(self.stated.sigops)

        async def getCoinbaseMerklePath_context(self, call: Any) -> None:
            (await begin("getCoinbaseMerklePath", call.params.context)).release()
            call.results.result = list(self.stated.merkle_branch)

        async def getCoinbaseTx_context(self, call: Any) -> None:
            (await begin("getCoinbaseTx", call.params.context)).release()
            said, coinbase = call.results.result, self.stated.coinbase
            said.version, said.sequence = 2, 0xFFFFFFFE
            said.scriptSigPrefix, said.witness = coinbase.script_sig_prefix, coinbase.witness
            said.blockRewardRemaining, said.lockTime = coinbase.reward, coinbase.locktime
            said.requiredOutputs = list(coinbase.outputs)

        def _submit(self, params: Any) -> str:
            """The reason for a refusal, or ''. Any try alters the template, as in Core."""
            coinbase = bytes(params.coinbase)
            if does.accepts_anything:
                return ""
            if not coinbase:
                return "no coinbase"
            bounds = scan_transaction(coinbase, 0)
            root = root_from_branch(sha256d(stripped(coinbase, 0, bounds)), self.stated.merkle_branch)
            old = Header.unpack(self.stated.header)
            header = Header(params.version, old.prevhash_le, root, params.timestamp, old.nbits, params.nonce).pack()
            block = header + self.stated.block[80:81] + coinbase
            self.stated = replace(self.stated, header=header, block=block)
            does.solutions.append((header, coinbase))
            return does.verdicts.pop(0) if does.verdicts else ""

        async def waitNext_context(self, call: Any) -> None:
            turn = await begin("waitNext", call.params.context)
            try:
                last_le = Header.unpack(self.stated.header).prevhash_le
                tip_le = await node.next_tip(last_le, call.params.options.timeout)
                if "waitNext" not in does.nothing and tip_le != last_le:
                    call.results.result = template(does.on_tip(use_mempool=False))
            finally:
                turn.release()

    def template(stated: StatedTemplate) -> Template:
        return {31: Template31, 32: Template32}.get(does.release, Template)(stated)

    class Template31(Template):
        async def submitSolution31_context(self, call: Any) -> None:
            (await begin("submitSolution", call.params.context)).release()
            reason = self._submit(call.params)
            call.results.result = reason in ("", "duplicate")

    class Template32(Template):
        async def submitSolution31_context(self, call: Any) -> None:
            raise Refused("this number is no longer supported")

        async def submitSolution_context(self, call: Any) -> None:
            (await begin("submitSolution", call.params.context)).release()
            reason = self._submit(call.params)
            call.results.reason, call.results.result = reason, not reason

    class Mining(known.Mining.Server):  # type: ignore[misc, name-defined]
        async def getTip_context(self, call: Any) -> None:
            (await begin("getTip", call.params.context)).release()
            if "getTip" in does.nothing:
                return
            call.results.hasResult = True
            call.results.result.hash, call.results.result.height = does.tip_le, does.height

        async def createNewBlock_context(self, call: Any) -> None:
            options = call.params.options
            asked = (options.useMempool, options.blockReservedWeight, options.coinbaseOutputMaxAdditionalSigops)
            (await begin("createNewBlock", call.params.context)).release()
            does.options.append((*asked, call.params.cooldown))
            if "createNewBlock" in does.nothing:
                return
            call.results.result = template(does.on_tip(use_mempool=options.useMempool))

    class Init(known.Init.Server):  # type: ignore[misc, name-defined]
        async def construct_context(self, call: Any) -> None:
            await does.on("construct")
            call.results.threadMap = Threads()

    class Init31(Init):
        async def makeMining_context(self, call: Any) -> None:
            (await begin("makeMining", call.params.context)).release()
            call.results.result = Mining()

    return Init if does.release < 31 else Init31
