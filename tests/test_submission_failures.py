"""Every way in which a submission can fail, on the real node client, executor and coordinator before a node that fails.

Each must end with the block on the node's chain, or with an alarm within five seconds, the block kept on disk, and the
block on the chain once the node recovers. Several run at the same time, each with a node of its own.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from solominer.chain.hashes import sha256d
from solominer.chain.header import Header
from solominer.chain.networks import REGTEST
from solominer.daemon.executor import Executor
from solominer.node import proxy
from solominer.node.client import NodeClient, NodeSettings
from solominer.node.credentials import CookieFile
from solominer.records.recorder import Recorder
from solominer.work.events import Tick
from solominer.work.instant import Clock, Instant
from solominer.work.policy import Policy, RetryPolicy
from tests.node.fake_node import Drip, Drop, FakeNode, Raw, Reply, Reset, Silence, error, result
from tests.work.builders import T0, mining, solution, tip

ALARM_SECS = 5.0
TIMEOUT_SECS = 6.0
HEIGHT = 261
AT_A_TIME = 8
JSON = {"Content-Type": "application/json"}


@dataclass
class World:
    """One miner and one node. `alarms` are (seconds after the find, code, message)."""

    name: str
    folder: Path
    fake: FakeNode = field(default_factory=FakeNode)
    taken: list[str] = field(default_factory=list)
    alarms: list[tuple[float, str, str]] = field(default_factory=list)
    unresolved: set[str] = field(default_factory=set)
    found_at: Instant = T0

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.cookie = self.folder / ".cookie"
        self.cookie.write_text("__cookie__:one")
        self.port = self.fake.port
        self.host = f"{self.name}.test"
        settings = NodeSettings(
            "alpha", self.host, self.port, CookieFile((self.cookie,)), REGTEST, timeout_secs=TIMEOUT_SECS
        )
        self.node_client = NodeClient(settings, lambda event: None, self.clock)
        retry = RetryPolicy(first_secs=0.25, most_secs=1.0, look_secs=1.0)
        self.machine, self.job = mining(policy=Policy(retry=retry), nodes=("alpha",))
        self.be_well()

    @staticmethod
    def clock() -> Instant:
        """The time as every part of this miner has them."""
        return T0 + time.monotonic()

    def be_well(self) -> None:
        """The node takes blocks."""
        self.fake.without_login = Reply(401)
        self.fake.answers = {
            "submitblock": self._take,
            "getblockheader": lambda hash_hex, *_: self._header(hash_hex),
            "getblockhash": lambda height: self._hash_at(height),
            "getblockchaininfo": lambda: {"chain": "regtest", "blocks": HEIGHT - 1 + len(self.taken)},
            "getbestblockhash": lambda: self._hash_at(HEIGHT),
        }

    def answer(self, step: Any) -> None:
        """This is what submitblock is answered from now on."""
        self.fake.answers["submitblock"] = step if callable(step) else lambda *_: step

    def everything(self, step: Any) -> None:
        """This is what everything is answered from now on."""
        self.fake.without_login = step
        self.fake.answers = dict.fromkeys(self.fake.answers, lambda *_: step)

    def _take(self, block_hex: str) -> None:
        self.taken[:] = [block_hex]

    def _hash_at(self, height: int) -> str:
        if height == 0:
            return REGTEST.genesis_hex
        return _hash_hex(self.taken[0]) if self.taken and height == HEIGHT else tip(1).hex()

    def _header(self, hash_hex: str) -> Any:
        if not self.taken or hash_hex != _hash_hex(self.taken[0]):
            return error(-5, "Block not found")
        header = Header.unpack(bytes.fromhex(self.taken[0][:160]))
        return {
            "hash": hash_hex,
            "confirmations": 1,
            "height": HEIGHT,
            "version": header.version,
            "versionHex": f"{header.version:08x}",
            "merkleroot": header.merkle_root_le[::-1].hex(),
            "time": header.ntime,
            "mediantime": header.ntime,
            "nonce": header.nonce,
            "bits": f"{header.nbits:08x}",
            "previousblockhash": header.prevhash_le[::-1].hex(),
        }


def _hash_hex(block_hex: str) -> str:
    return sha256d(bytes.fromhex(block_hex[:160]))[::-1].hex()


class Nothing:
    """Stands for the workers and for who watches them."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: () if name == "snapshot" else None


class Outcome(NamedTuple):
    """What came of one way: the first alarm, whether the block was kept, and whether it is on the chain at last."""

    alarm_secs: float | None
    alarm: str
    kept: bool
    on_chain: bool


class Way(NamedTuple):
    """One way to fail. `recovers`: with the node well again the block gets there. `silent`: it does so at once."""

    name: str
    break_: Callable[[World], object]
    heal: Callable[[World], object] = World.be_well
    recovers: bool = True
    silent: bool = False
    known: bool = True  # the login had worked before


def answered(name: str, step: Any, **more: Any) -> Way:
    """Submissions are answered like this."""
    return Way(name, lambda world: world.answer(step), **more)


def raised(name: str, problem: BaseException) -> Way:
    """Something unexpected is raised where the block is sent."""

    def break_(world: World) -> None:
        async def submit(block_hex: str) -> Any:
            raise problem

        world.node_client.submit = submit  # type: ignore[method-assign]

    def heal(world: World) -> None:
        del world.node_client.submit

    return Way(name, break_, heal)


def _restart(world: World, password: str = "two") -> None:
    """The node takes another login from now on, as after its restart."""
    well = dict(world.fake.answers)

    def checked(method: str) -> Callable[..., Any]:
        def answer(*params: Any) -> Any:
            if world.fake.requests[-1].login != f"__cookie__:{password}":
                return Reply(401)
            return well[method](*params)

        return answer

    world.fake.answers = {method: checked(method) for method in well}


def _close(world: World) -> None:
    world.fake.__exit__(None, None, None)


def _reopen(world: World) -> None:
    world.fake = FakeNode(world.port)
    world.be_well()
    world.fake.__enter__()


def _no_name(world: World) -> None:
    UNRESOLVED.add(world.host)


def _named_again(world: World) -> None:
    UNRESOLVED.discard(world.host)


def _login_gone(leave: Callable[[Path], object] = Path.exists) -> Callable[[World], None]:
    """The node was restarted, and its new cookie is not to be had."""

    def break_(world: World) -> None:
        _restart(world)
        world.cookie.unlink()
        leave(world.cookie)

    return break_


def _login_back(world: World) -> None:
    if world.cookie.is_dir():
        world.cookie.rmdir()
    world.cookie.write_text("__cookie__:two")


def _lost_cookie(world: World) -> None:
    world.cookie.unlink()


def _no_disk(world: World) -> None:
    def begin(block: Any) -> None:
        raise RuntimeError("can't start new thread")

    EXECUTORS[world.name]._saver.begin = begin  # type: ignore[method-assign]


def _no_thread(world: World) -> None:
    def thread(name: str) -> Any:
        raise RuntimeError("can't start new thread")

    world.node_client._thread = thread  # type: ignore[method-assign]


def _threads_again(world: World) -> None:
    del world.node_client._thread


RESULTS = ("7", "true", "{}", "[]", "1.5")
UNRESOLVED: set[str] = set()
EXECUTORS: dict[str, Executor] = {}

WAYS = (
    # the network
    Way("connection refused", _close, _reopen),
    Way("name not resolved", _no_name, _named_again),
    answered("reset", Reset()),
    answered("closed without an answer", Drop()),
    answered("no answer", Silence()),
    answered("a byte now and then", Drip(0.5)),
    answered("truncated body", Reply(200, b'{"result": nu', JSON, claimed=500, close=True)),
    answered("truncated header", Raw(b"HTTP/1.1 200 OK\r\nContent-Le")),
    # what is no node
    answered("P2P port", Raw(bytes(range(128, 255)) + b"\n\x1b[31m")),
    answered("TLS", Raw(b"\x15\x03\x01\x00\x02\x02\x46")),
    answered("garbage instead of a status", Raw(b"HTTP/garbage\x00\r\n\r\n")),
    answered("chunks that are none", Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")),
    answered("endless header", Raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200)),
    answered("oversized body", Reply(200, b"{" + b" " * 3_000_000)),
    # HTTP
    *(answered(f"HTTP {status}", Reply(status, b"<html>no</html>")) for status in (301, 400, 404, 405, 413, 429, 500)),
    *(answered(f"HTTP {status}", Reply(status, b"<html>no</html>")) for status in (502, 503, 504)),
    answered("HTTP 401", Reply(401)),
    Way("HTTP 403, not on the whitelist", lambda world: world.answer(Reply(403))),
    Way("HTTP 403, address", lambda world: world.everything(Reply(403))),
    answered("HTTP 200 without a body", Reply(200)),
    answered("HTTP 204", Reply(204)),
    # the login
    Way("new cookie deleted", _login_gone(), _login_back),
    Way("new cookie a folder", _login_gone(Path.mkdir), _login_back),
    Way("new cookie empty", _login_gone(lambda cookie: cookie.write_text("")), _login_back),
    Way("new cookie too long", _login_gone(lambda cookie: cookie.write_text("x" * 5000)), _login_back),
    Way("new cookie of another node", _login_gone(lambda cookie: cookie.write_text("__cookie__:3")), _login_back),
    Way("no cookie ever", _login_gone(), _login_back, known=False),
    Way("cookie deleted while the node runs", _lost_cookie, silent=True),
    # JSON
    answered("garbage", Reply(200, b"\x00\xff\x1b[31m", JSON)),
    answered("half of a JSON", Reply(200, b'{"result": nu', JSON)),
    answered("compressed", Reply(200, b"\x1f\x8b\x08\x00rubbish", {"Content-Encoding": "gzip"})),
    answered("UTF-16", Reply(200, '{"result": null}'.encode("utf-16"), JSON)),
    *(answered(f"JSON {text}", Reply(200, text.encode(), JSON)) for text in ("[]", "null", "7", '"x"', "{}", "true")),
    answered("nested JSON", Reply(200, b'{"result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON)),
    *(answered(f"result {text}", Reply(200, b'{"result": %s}' % text.encode(), JSON)) for text in RESULTS),
    # JSON-RPC
    *(
        answered(f"error {code}", error(code, "no\x1b[31m\n", status))
        for code, status in ((-32601, 404), (-32700, 500), (-32603, 500), (-28, 500), (-25, 500), (-8, 500), (-1, 500))
    ),
    answered("error that is text", Reply(500, b'{"result": null, "error": "no"}', JSON)),
    # the node's words
    answered("time-too-new", result("time-too-new")),
    answered("prev-blk-not-found", result("prev-blk-not-found")),
    answered("bad-prevblk", result("bad-prevblk")),
    answered("inconclusive without end", result("inconclusive")),
    answered("high-hash", result("high-hash"), recovers=False),
    answered("block decode failed", error(-22, "Block decode failed"), recovers=False),
    # this program
    raised("unexpected OSError", OSError(24, "Too many open files")),
    raised("unexpected ValueError", ValueError("embedded null byte")),
    raised("out of memory", MemoryError()),
    Way("no thread to send with", _no_thread, _threads_again),
    Way("no thread for the disk", _no_disk, silent=True),
)


async def _outcome(way: Way, folder: Path, turn: asyncio.Semaphore) -> Outcome:
    async with turn:
        return await _outcome_of(World(f"way-{folder.name}", folder), way, folder)


async def _outcome_of(world: World, way: Way, folder: Path) -> Outcome:
    recorder = Recorder(folder / "records", "regtest", on_alarm=lambda *told: None)
    tasks: list[asyncio.Task[Any]] = []
    nothing: Any = Nothing()

    def spawn(work: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    async with AsyncExitStack() as stack:
        stack.callback(lambda: world.fake.__exit__(None, None, None))
        world.fake.__enter__()
        stack.push_async_callback(world.node_client.close)
        recorder.open(world.clock().wall)
        stack.callback(lambda: recorder.close(world.clock().wall))
        executor = Executor(
            world.machine, nothing, {"alpha": world.node_client}, recorder, spawn, nothing, clock=world.clock
        )
        EXECUTORS[world.name] = executor
        told = executor.alarm

        def alarm(severity: Any, code: str, message: str, todo: str) -> None:
            world.alarms.append((world.clock() - world.found_at, code, message))
            told(severity, code, message, todo)

        executor.alarm = alarm  # type: ignore[method-assign]
        if way.known:
            await world.node_client.look()
        way.break_(world)
        world.found_at = world.clock()
        executor.post(replace(solution(world.job), at=world.found_at))
        running = [spawn(executor.run()), spawn(_tick(executor, world.clock))]

        def on_chain() -> bool:
            return world.machine.blocks.accepted_count == 1

        await _until(lambda: bool(world.alarms) or on_chain(), ALARM_SECS + 3, executor)
        first = world.alarms[0] if world.alarms else (None, "", "")
        await _until(lambda: bool(_kept(folder)), 5, executor)
        kept = bool(_kept(folder))
        if way.recovers and not way.silent:
            way.heal(world)
        await _until(on_chain, 0.5 if not way.recovers else TIMEOUT_SECS + 10, executor)
        assert not any(task.done() for task in running), "the daemon would have ended"
        outcome = Outcome(first[0], first[2], kept, on_chain() and _hash_hex(world.taken[0]) == _only(world).hash_hex)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return outcome


def _only(world: World) -> Any:
    (tracked,) = [*world.machine.blocks.open.values(), *world.machine.blocks.settled]
    return tracked.block


def _kept(folder: Path) -> list[Path]:
    return list(folder.glob("records/**/block.hex"))


async def _tick(executor: Executor, clock: Clock) -> None:
    while True:
        executor.post(Tick(clock()))
        await asyncio.sleep(0.25)


async def _until(condition: Callable[[], bool], most_secs: float, executor: Executor) -> None:
    ends = time.monotonic() + most_secs
    while not condition() and time.monotonic() < ends:
        executor.changed.clear()
        try:
            async with asyncio.timeout(0.3):
                await executor.changed.wait()
        except TimeoutError:
            continue


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What came of each way."""
    folder = tmp_path_factory.mktemp("ways")
    resolve = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in UNRESOLVED:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve("127.0.0.1" if str(host).endswith(".test") else host, *args, **kwargs)

    async def all_of_them() -> list[Any]:
        turn = asyncio.Semaphore(AT_A_TIME)
        work = (_outcome(way, folder / str(number), turn) for number, way in enumerate(WAYS))
        return await asyncio.gather(*work, return_exceptions=True)

    logging.getLogger("solominer").setLevel(logging.CRITICAL + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolved)
        patch.setattr(proxy, "MAX_REPLY_BYTES", 1_000_000)
        found = asyncio.run(all_of_them())
    logging.getLogger("solominer").setLevel(logging.NOTSET)
    yield dict(zip((way.name for way in WAYS), found, strict=True))
    shutil.rmtree(folder)


def test_there_are_enough_ways() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS) >= 25


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_way_to_fail_is_silent_or_loses_the_block(way: Way, outcomes: dict[str, Any]) -> None:
    outcome = outcomes[way.name]
    if isinstance(outcome, BaseException):
        raise outcome
    assert outcome.kept
    assert outcome.on_chain is way.recovers
    if way.silent:
        return
    assert outcome.alarm_secs is not None, "no alarm"
    assert outcome.alarm_secs <= ALARM_SECS
    assert "alpha" in outcome.alarm
    assert outcome.alarm.isprintable()
    assert len(outcome.alarm) < 700
