"""The whole engine, with its process and real sockets: blocks, restarts, sessions, limits, payouts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.hashes import hash_to_int
from solominer.chain.header import meets_target
from solominer.config.paths import default_cache_dir
from solominer.engines.stratum import server_process
from solominer.engines.stratum.channel import ListenerSetup, News, ServerLimits
from solominer.engines.stratum.engine import StratumEngine, StratumSettings
from solominer.engines.stratum.listener import Listener
from solominer.errors import EngineError, NodeUnreachable, PayoutError
from solominer.work.events import ShareFound, WorkerDied, WorkerStarted
from solominer.work.found import FoundBlock
from solominer.work.job import Job
from solominer.work.job_check import read_coinbase
from tests.engines.stratum.builders import P2PKH, P2WPKH, line, make_shared
from tests.engines.stratum.engine_rig import LOCAL, SPACE, Bench, connected, in_thread, running, target_of
from tests.engines.stratum.test_clients import PLAYS
from tests.engines.stratum.wire import WireMiner
from tests.fakes import PAYOUT, real_clock


async def test_each_client_finds_a_block_in_its_own_words() -> None:
    async with running() as bench:

        def play(name: str, job: Job) -> bytes:
            lines = PLAYS[name]
            miner = WireMiner(url=bench.engine.urls[0])
            miner.play(lines)
            extranonce2 = bytes.fromhex(lines.extranonce2)
            params, header = miner.mine(target=target_of(job), bits=lines.bits, extranonce2=extranonce2)
            miner.write(lines.submit(params[0], params[1], params[2], int(params[3], 16), lines.bits))
            miner.reply(lines.share_id, start=len(miner.lines))
            miner.close()
            return header.hash_le()

        hashes = []
        for number, name in enumerate(PLAYS):
            job = bench.publish(tip=number + 1)
            hashes.append(await asyncio.to_thread(play, name, job))
        await bench.until(lambda: len(bench.blocks()) == len(PLAYS))
        assert [block.hash_le for block in bench.blocks()] == hashes
        for block in bench.blocks():
            assert meets_target(block.hash_le, target_of(job))
            assert read_coinbase(_stripped(block)).outputs[0] == (PAYOUT.script_pubkey, job.template.coinbase_value)
            assert block.worker.engine == "stratum"
            assert block.block_hex.endswith("".join(tx.data_hex for tx in job.template.transactions))


def _stripped(block: FoundBlock) -> bytes:
    raw = bytes.fromhex(block.coinbase_hex)
    return raw[:4] + raw[6:-38] + raw[-4:]


async def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bench = Bench(ListenerSetup("127.0.0.1", port))
        with pytest.raises(EngineError, match=rf"cannot listen on stratum\+tcp://127.0.0.1:{port}: .*in use"):
            await bench.engine.start(bench.events.append, SPACE)
        await bench.engine.stop(1.0)


@pytest.mark.parametrize(
    ("setup", "todo"),
    [
        (ListenerSetup(path="/nowhere/stratum.sock"), "let this user write to its folder"),
        (ListenerSetup("203.0.113.1", 3333), "use an address of this machine"),
    ],
)
async def test_why_a_listener_cannot_be_opened_decides_the_advice(setup: ListenerSetup, todo: str) -> None:
    with pytest.raises(EngineError, match=r"^the Stratum server cannot listen on ") as caught:
        await Listener(setup, make_shared()).open(asyncio.Protocol)
    assert caught.value.todo.startswith(todo)


async def test_the_process_is_killed_and_miners_go_on_where_they_were() -> None:
    """Nothing is lost: session and extranonce1 are the same, and a block on the job from before counts."""
    async with running() as bench:
        job = bench.publish()
        miner = await in_thread(lambda: connected(bench))
        params, header = miner.mine(target=target_of(job))
        await bench.until(lambda: miner.session_id in bench.engine._sessions)
        (started,) = bench.of(WorkerStarted)
        os.kill(started.pid, signal.SIGKILL)
        assert await in_thread(miner.ended)
        died = (await bench.until(lambda: bench.of(WorkerDied)))[0]
        assert "signal 9" in died.reason
        await bench.until(lambda: len(bench.of(WorkerStarted)) == 2)

        def again() -> WireMiner:
            fresh = WireMiner(url=bench.engine.urls[0])
            fresh.log_in(session=miner.session_id)
            return fresh

        fresh = await in_thread(again)
        assert (fresh.session_id, fresh.extranonce1) == (miner.session_id, miner.extranonce1)
        assert fresh.job[0] != miner.job[0]
        answer = await in_thread(lambda: fresh.hand_in(params))
        assert answer["error"] is None, answer
        block = (await bench.until(bench.blocks))[0]
        assert block.header == header.pack()


async def test_totals_go_on_over_a_restart() -> None:
    async with running() as bench:
        job = bench.publish()
        miner = await in_thread(lambda: connected(bench))
        for number in range(3):
            params, _ = miner.mine(extranonce2=number.to_bytes(8), target=target_of(job))
            await in_thread(lambda params=params: miner.hand_in(params))  # type: ignore[misc]
        await bench.until(lambda: bench.snapshot().workers and bench.snapshot().workers[0].shares == 3)
        before = bench.snapshot().workers[0]
        assert str(before.worker) == "stratum/rig.1"
        assert before.state == "hashing"
        assert before.hashes_credited > 0
        assert before.kernel == "test/1"
        os.kill(bench.of(WorkerStarted)[0].pid, signal.SIGKILL)
        await bench.until(lambda: len(bench.of(WorkerStarted)) == 2)
        after = bench.snapshot().workers[0]
        assert after.state == "lost"
        assert (after.shares, after.hashes_credited) == (before.shares, before.hashes_credited)
        assert {(each.worker, each.user_agent) for each in bench.sums} == {("stratum/rig.1", "test/1")}
        assert sum(each.shares for each in bench.sums) == before.shares
        assert sum(each.hashes for each in bench.sums) == before.hashes_credited
        assert sum(each.connects for each in bench.sums) == 1
        assert ("stratum_ended", {"reason": "was ended by signal 9"}) in bench.notes


async def test_of_a_connection_that_ends_its_shares_and_its_rate_are_recorded() -> None:
    async with running() as bench:
        job = bench.publish()
        miner = await in_thread(lambda: connected(bench))
        await bench.until(lambda: bench.snapshot().workers and sum(each.connects for each in bench.sums) == 1)
        assert [kind for kind, _ in bench.notes] == ["miner_connected"]
        params, _ = miner.mine(target=target_of(job))
        await in_thread(lambda: miner.hand_in(params))
        miner.close()
        (left,) = await bench.until(lambda: [fields for kind, fields in bench.notes if kind == "miner_left"])
        assert (left["worker"], left["user_agent"], left["shares"]) == ("rig.1", "test/1", 1)
        assert str(News("miner_left", left)).endswith(" s and 1 share: it closed the connection")
        assert 0 < left["rate_low_hps"] < left["rate_hps"] < left["rate_high_hps"]


async def test_without_work_miners_are_sent_elsewhere_and_taken_back() -> None:
    async with running(limits=ServerLimits(no_work_secs=1.0)) as bench:
        bench.publish()
        await bench.heard()
        miner = await in_thread(lambda: connected(bench))
        bench.engine.stop_work()
        assert await in_thread(miner.ended)

        def refused() -> str:
            other = WireMiner(url=bench.engine.urls[0])
            other.ended()
            return str(other.lines)

        assert "no work from the node" in await in_thread(refused)
        bench.publish(tip=2)
        await bench.heard()
        assert (await in_thread(lambda: connected(bench))).job


async def test_each_miner_is_paid_at_its_own_address() -> None:
    async with running(replace_listener(pay_to="miner")) as bench:
        job = bench.publish()
        mine, theirs = "bcrt1qmine" + "q" * 20, "bcrt1qtheirs" + "q" * 20
        other_network, unreachable = "bc1qother" + "q" * 20, "bcrt1qlater" + "q" * 20
        bench.scripts |= {mine: P2WPKH, theirs: P2PKH}
        bench.scripts[other_network] = PayoutError("this is an address of mainnet")
        bench.scripts[unreachable] = NodeUnreachable("node a: connection refused")

        def mined(address: str) -> bytes:
            miner = connected(bench, user=f"{address}.rig")
            params, header = miner.mine(target=target_of(job))
            miner.hand_in(params, user=f"{address}.rig")
            miner.close()
            return header.hash_le()

        def refused(address: str) -> str:
            miner = WireMiner(url=bench.engine.urls[0])
            miner.write(line(1, "mining.subscribe", "x/1") + "\n" + line(2, "mining.authorize", address, "x") + "\n")
            answer = miner.reply(2)
            miner.close()
            return str(answer["error"])

        for address, script in ((mine, P2WPKH), (theirs, P2PKH)):
            hash_le = await in_thread(lambda address=address: mined(address))  # type: ignore[misc]
            block = (await bench.until(lambda: [b for b in bench.blocks() if b.hash_le == hash_le]))[0]  # noqa: B023
            outputs = read_coinbase(_stripped(block)).outputs
            assert outputs[0] == (script, job.template.coinbase_value)
            assert len(outputs) == 2
        assert "an address of mainnet" in await in_thread(lambda: refused(other_network))
        assert "try again" in await in_thread(lambda: refused(unreachable))


def replace_listener(**changes: Any) -> ListenerSetup:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "fractional": True}
    return ListenerSetup(**(values | changes))


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "stratum.sock")
    async with running(ListenerSetup(path=path, fractional=True)) as bench:
        bench.publish()
        assert bench.engine.urls == [f"unix:{path}"]
        assert (await in_thread(lambda: connected(bench))).job
        assert Path(path).stat().st_mode & 0o777 == 0o660


async def test_behind_a_proxy_that_is_trusted() -> None:
    header = b"PROXY TCP4 192.0.2.7 127.0.0.1 5555 3333\r\n"
    async with running(replace_listener(proxies=("127.0.0.1",))) as bench:
        bench.publish()
        await in_thread(lambda: connected(bench, before=header))
        await bench.until(lambda: any(note[0] == "miner_connected" for note in bench.notes))
        assert bench.notes[0][1]["peer"] == "192.0.2.7"
        bare = await in_thread(lambda: WireMiner(url=bench.engine.urls[0], before=b"{}\n"))
        assert await in_thread(bare.ended)


async def test_a_flood_of_connections_is_bounded_and_nobody_else_notices() -> None:
    async with running(limits=ServerLimits(connections=20, connections_per_address=20)) as bench:
        bench.publish()
        miner = await in_thread(lambda: connected(bench))
        flood = [await in_thread(lambda: WireMiner(url=bench.engine.urls[0])) for _ in range(30)]
        assert await in_thread(flood[-1].ended)
        assert "at its limit" in str(flood[-1].lines)
        bench.publish(tip=3)
        await in_thread(lambda: miner.until("mining.notify", count=2))
        assert miner.job[8] is True


async def test_shares_that_are_worth_a_record_come_one_by_one_and_others_as_sums() -> None:
    async with running() as bench:
        job = bench.publish()
        miner = await in_thread(lambda: connected(bench))
        params, header = miner.mine(target=target_of(job) - 1)
        assert hash_to_int(header.hash_le()) < target_of(job)
        await in_thread(lambda: miner.hand_in(params))
        await bench.until(lambda: bench.of(ShareFound))
        again = await in_thread(lambda: miner.hand_in(params))
        assert again["error"][1] == "Duplicate"
        await bench.until(lambda: bench.snapshot().workers and bench.snapshot().workers[0].rejected)
        assert len(bench.blocks()) == 1  # the duplicate is the same block


WILD = {
    "an HTTP request": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"stratum+tcp://"),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"without TLS"),
    "random bytes": (bytes(range(256)) * 300, b"Not a JSON request"),
    "an endless line": (b'{"id":1,"method":"' + b"x" * 20_000, b"Line too long"),
    "many lines that are no requests": (b"hello\n" * 100, b"Not a JSON request"),
    "deep JSON": (b"[" * 16_000 + b"\n" + b'{"a":' * 3_000 + b"\n" * 40, b"Not a JSON request"),
    "a PROXY header from nobody we know": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" * 40, b"Not a JSON request"),
}


async def test_whatever_strangers_send_is_answered_and_nobody_else_notices() -> None:
    async with running(limits=ServerLimits(connections_per_address=100)) as bench:
        bench.publish()
        miner = await in_thread(lambda: connected(bench))

        def attack(data: bytes) -> bytes:
            with WireMiner(url=bench.engine.urls[0]).sock as sock:
                answer = b""
                with contextlib.suppress(ConnectionError):
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                    while more := sock.recv(1 << 16):
                        answer += more
                return answer

        for what, (data, words) in WILD.items():
            answer = await in_thread(lambda data=data: attack(data))  # type: ignore[misc]
            assert words in answer, what
        bench.publish(tip=2)
        await in_thread(lambda: miner.until("mining.notify", count=2))
        (started,) = bench.of(WorkerStarted)
        assert not bench.of(WorkerDied), started


async def test_a_client_that_does_not_read_is_dropped_and_its_memory_is_bounded() -> None:
    async with running() as bench:
        bench.publish()
        lazy = await in_thread(lambda: WireMiner(url=bench.engine.urls[0]))
        lazy.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def flood() -> bool:
            lazy.write(line(1, "mining.subscribe", "x/1") + "\n" + line(2, "mining.authorize", "a", "x") + "\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(200_000):
                    lazy.write((line("i" * 200, "mining.ping") + "\n") * 50)
                return False
            return True

        lazy.sock.settimeout(20.0)
        assert await in_thread(flood)
        assert (await in_thread(lambda: connected(bench, user="other"))).job


async def test_sessions_outlive_the_daemon_and_a_bad_file_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "regtest/stratum-sessions.json"

    @contextlib.asynccontextmanager
    async def daemon() -> AsyncIterator[Bench]:
        bench = Bench()
        bench.engine = StratumEngine(
            StratumSettings((LOCAL,), b"/test/", path, cache_dir=default_cache_dir()),
            real_clock,
            ask=bench._ask,
            note=lambda kind, fields: None,
        )
        await bench.engine.start(bench.post, SPACE)
        supervising = asyncio.create_task(bench.engine.run())
        bench.publish()
        yield bench
        await bench.engine.stop(5.0)
        await asyncio.wait_for(supervising, 20.0)

    def back(bench: Bench, session: str) -> str:
        miner = WireMiner(url=bench.engine.urls[0])
        miner.log_in(session=session)
        return miner.session_id

    async with daemon() as bench:
        session = (await in_thread(lambda: connected(bench))).session_id
    assert path.stat().st_mode & 0o777 == 0o600
    async with daemon() as bench:
        assert await in_thread(lambda: back(bench, session)) == session
    good = path.read_bytes()
    for bad in (
        b"",
        good[:-9],
        b"[]",
        b"\xff" * 100,
        good.replace(b'"difficulty":', b'"difficulty":-'),
        b"[" * 100_000,
    ):
        path.write_bytes(bad)
        async with daemon() as bench:
            assert await in_thread(lambda: back(bench, session)) != session


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_for_everybody_at_the_terminal_does_not_end_the_server_before_the_daemon(number: int) -> None:
    """Ctrl-C reaches the whole process group; the daemon still takes what miners hand in."""
    async with running() as bench:
        job = bench.publish()
        miner = await in_thread(lambda: connected(bench))
        os.kill(bench.of(WorkerStarted)[0].pid, number)
        await asyncio.sleep(0.3)
        params, _ = miner.mine(target=target_of(job))
        assert (await in_thread(lambda: miner.hand_in(params)))["error"] is None
        await bench.until(bench.blocks)
        assert not bench.of(WorkerDied)


async def test_a_server_that_cannot_listen_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bench = Bench(ListenerSetup("127.0.0.1", taken.getsockname()[1]))
        gc.collect()  # what earlier tests left open

        def files() -> int:
            return len(list(Path("/proc/self/fd").iterdir()))

        most = files() + 1  # the event loop's own for its child processes
        for _ in range(3):
            with pytest.raises(EngineError, match="in use"):
                await bench.engine.start(bench.events.append, SPACE)
        await bench.until(lambda: files() <= most)


async def starting_for_ever(monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, asyncio.Task[None]]:
    """A bench whose engine waits for a process that never says that it listens."""
    monkeypatch.setattr(
        "solominer.engines.stratum.server_process.python_command", lambda module: (["sleep", "60"], None)
    )
    bench = Bench()
    starting = asyncio.create_task(bench.engine.start(bench.events.append, SPACE))
    while bench.engine._servers[0]._reading is None:
        await asyncio.sleep(0.01)
    return bench, starting


async def test_a_start_that_is_given_up_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs and the end of the daemon find no wreck of that wait."""
    bench, starting = await starting_for_ever(monkeypatch)
    await asyncio.sleep(0.05)
    starting.cancel()
    await asyncio.wait([starting])
    assert not bench.engine.is_serving
    bench.publish()
    await bench.engine.stop(0.1)
    assert bench.engine._servers[0]._process is not None
    assert bench.engine._servers[0]._process.returncode == -signal.SIGKILL


async def test_a_server_that_does_not_end_is_killed_and_the_engine_ends_well() -> None:
    bench = Bench()
    await bench.engine.start(bench.post, SPACE)
    supervising = asyncio.create_task(bench.engine.run())
    os.kill(bench.of(WorkerStarted)[0].pid, signal.SIGSTOP)
    await bench.engine.stop(0.1)
    await asyncio.wait_for(supervising, 20.0)
    assert bench.engine._servers[0]._process is not None
    assert bench.engine._servers[0]._process.returncode == -signal.SIGKILL


async def test_a_server_that_is_killed_while_it_starts_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with what it was sent still unread, which ends the connection with a reset."""
    bench, starting = await starting_for_ever(monkeypatch)
    assert bench.engine._servers[0]._process is not None
    bench.engine._servers[0]._process.kill()
    with pytest.raises(EngineError, match="ended while it started"):
        await asyncio.wait_for(starting, server_process.START_SECS / 2)


async def test_a_certificate_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for certificate in (tmp_path / "missing.pem", nonsense):
        bench = Bench(replace_listener(certificate=str(certificate)))
        with pytest.raises(EngineError, match=f"^the TLS certificate {certificate} cannot be used: ") as caught:
            await bench.engine.start(bench.events.append, SPACE)
        assert "PEM" in caught.value.todo
