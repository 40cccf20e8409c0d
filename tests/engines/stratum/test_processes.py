"""Several processes of the server on the same ports: who has which work, and what one has to do with another."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from msgspec import structs

from solominer.chain.header import Header
from solominer.engines.stratum import server_process
from solominer.engines.stratum.channel import FromProcess, ListenerSetup, News, ServerLimits, encode
from solominer.engines.stratum.server_process import ServerProcess
from solominer.errors import EngineError
from solominer.work.events import WorkerDied, WorkerStarted
from tests.engines.stratum.builders import P2WPKH
from tests.engines.stratum.engine_rig import SPACE, Bench, connected, in_thread, running, target_of
from tests.engines.stratum.wire import WireMiner
from tests.ports import free_port

PARTS = SPACE.part(0, 2), SPACE.part(1, 2)
MANY = 64
"""The kernel deals so many connections to one of two processes with odds of 1e-19."""


def process_of(miner: WireMiner) -> int:
    """The process that it is connected to."""
    (number,) = (number for number, part in enumerate(PARTS) if miner.extranonce1 in part)
    return number


def miner_at(bench: Bench, process: int, session: str = "", user: str = "rig.1") -> WireMiner:
    """A miner of that process, of which the kernel decides; with `session` it resumes that one."""
    for _ in range(MANY):
        miner = WireMiner(url=bench.engine.urls[0])
        miner.log_in(user=user, session=session)
        if process_of(miner) == process:
            return miner
        miner.close()
    raise AssertionError(f"the kernel dealt {MANY} connections to one process")


async def one_at_each(bench: Bench) -> list[WireMiner]:
    return [await in_thread(lambda process=process: miner_at(bench, process)) for process in (0, 1)]  # type: ignore[misc]


async def finds_a_block(bench: Bench, miner: WireMiner, user: str = "rig.1") -> None:
    """It is answered with true, and is on disk."""
    params, header = miner.mine(target=target_of(bench.jobs[-1]))
    answer = await in_thread(lambda: miner.hand_in(params, user))
    assert answer["result"] is True, answer
    assert header.pack() in [block.header for block in bench.blocks()]


async def next_job(bench: Bench, *miners: WireMiner) -> None:
    """The next job arrives on the same connections."""
    before = [sum(each.get("method") == "mining.notify" for each in miner.lines) for miner in miners]
    bench.publish(tip=len(bench.jobs) + 1)
    for miner, count in zip(miners, before, strict=True):
        await in_thread(lambda miner=miner, count=count: miner.until("mining.notify", count=count + 1))  # type: ignore[misc]


async def kill(bench: Bench, process: int) -> None:
    """And wait for the one after it."""
    starts = len(bench.of(WorkerStarted))
    os.kill(bench.engine._servers[process].pid, signal.SIGKILL)
    await bench.until(lambda: len(bench.of(WorkerStarted)) == starts + 1)


async def test_miners_are_dealt_to_both_and_none_has_the_work_of_another() -> None:
    async with running(processes=2) as bench:
        bench.publish()
        assert len(bench.engine.urls) == 1
        miners = await in_thread(lambda: [connected(bench, user=f"m{number}") for number in range(MANY)])
        assert {process_of(miner) for miner in miners} == {0, 1}
        assert len({miner.extranonce1 for miner in miners}) == MANY
        jobs: list[set[str]] = [set(), set()]
        for miner in miners:
            jobs[process_of(miner)].add(miner.job[0])
        assert not jobs[0] & jobs[1]
        for process in (0, 1):
            finder = next(number for number, miner in enumerate(miners) if process_of(miner) == process)
            await finds_a_block(bench, miners[finder], f"m{finder}")
        await bench.until(lambda: len(bench.snapshot().workers) == MANY)
        assert bench.snapshot().active == MANY
        assert sorted(str(started.worker) for started in bench.of(WorkerStarted)) == [
            "stratum/server-1",
            "stratum/server-2",
        ]
        pids = [started.pid for started in bench.of(WorkerStarted)]
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_name_at_both_processes_is_one_worker_with_all_its_connections() -> None:
    async with running(processes=2) as bench:
        bench.publish()
        first, second = await one_at_each(bench)

        def connections() -> object:
            workers = bench.snapshot().workers
            return workers[0].connections if len(workers) == 1 else 0

        await bench.until(lambda: connections() == 2)
        os.kill(bench.engine._servers[0].pid, signal.SIGKILL)
        await bench.until(lambda: connections() == 1)
        assert bench.snapshot().workers[0].state == "hashing"
        second.close()
        await bench.until(lambda: not bench.snapshot().workers)  # they left without a share
        assert await in_thread(first.ended)


@pytest.mark.parametrize("killed", [0, 1])
async def test_miners_of_a_process_do_not_notice_the_end_of_the_other(killed: int) -> None:
    async with running(processes=2) as bench:
        bench.publish()
        miners = await one_at_each(bench)
        await bench.until(lambda: miners[killed].session_id in bench.engine._sessions)
        params, header = miners[killed].mine(target=target_of(bench.jobs[-1]))
        await kill(bench, killed)
        assert await in_thread(miners[killed].ended)
        await next_job(bench, miners[1 - killed])
        await finds_a_block(bench, miners[1 - killed])
        session = miners[killed].session_id
        back = await in_thread(lambda: miner_at(bench, killed, session))
        assert (back.session_id, back.extranonce1) == (session, miners[killed].extranonce1)
        await in_thread(lambda: back.hand_in(params))
        await bench.until(lambda: header.pack() in [block.header for block in bench.blocks()])
        (died,) = bench.of(WorkerDied)
        assert str(died.worker) == f"stratum/server-{killed + 1}"


async def test_a_process_that_hangs_is_replaced_and_its_miner_finds_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_process, "HANG_LOOKS", 4)
    async with running(ListenerSetup("127.0.0.1", free_port(), fractional=True), processes=2) as bench:
        bench.publish()
        os.kill(bench.engine._servers[1].pid, signal.SIGSTOP)
        await bench.until(lambda: len(bench.of(WorkerStarted)) == 3)
        (died,) = bench.of(WorkerDied)
        assert (str(died.worker), died.reason) == ("stratum/server-2", "was silent for 4 s")
        for miner in await one_at_each(bench):
            await finds_a_block(bench, miner)


async def test_after_the_end_of_both_miners_come_back_to_both() -> None:
    async with running(ListenerSetup("127.0.0.1", free_port(), fractional=True), processes=2) as bench:
        bench.publish()
        for server in bench.engine._servers:
            os.kill(server.pid, signal.SIGKILL)
        await bench.until(lambda: len(bench.of(WorkerStarted)) == 4)
        for miner in await one_at_each(bench):
            await finds_a_block(bench, miner)


async def moved_with_a_block(bench: Bench, process: int) -> Header:
    """A miner of that process finds a block, comes back at the other one, and hands it in there; its header."""
    miner = await in_thread(lambda: miner_at(bench, process))
    miner.write('{"id":9,"method":"mining.suggest_difficulty","params":[3e-10]}\n')
    await in_thread(lambda: miner.until("mining.set_difficulty", count=2))
    kept = bench.engine._sessions
    await bench.until(lambda: (miner.session_id, 3e-10) in [(e.session_id, e.difficulty) for e in kept.resumable()])
    await bench.heard()
    header: Header
    params, header = miner.mine(target=target_of(bench.jobs[-1]))
    back = await in_thread(lambda: miner_at(bench, 1 - process, miner.session_id))
    assert (back.session_id, back.difficulty) == (miner.session_id, 3e-10)
    answer = await in_thread(lambda: back.hand_in(params))
    assert answer["error"][1] == "Invalid JobID"
    await finds_a_block(bench, back)
    return header


async def test_a_session_goes_on_at_the_other_process_and_its_late_block_counts() -> None:
    """With its id and difficulty, and an extranonce1 that nobody else has; a share from before is refused."""
    async with running(processes=2) as bench:
        bench.publish()
        for process in (0, 1):
            header = await moved_with_a_block(bench, process)
            assert header.pack() in [block.header for block in bench.blocks()]


async def test_a_port_that_another_program_or_daemon_has_is_named_with_what_to_do() -> None:
    """Also where that one would share it, as another daemon of the same user does."""

    async def refused(port: int) -> None:
        bench = Bench(ListenerSetup("127.0.0.1", port), processes=2)
        with pytest.raises(EngineError, match=rf"cannot listen on stratum\+tcp://127.0.0.1:{port}: .*in use") as caught:
            await bench.engine.start(bench.events.append, SPACE)
        assert caught.value.todo == "choose another address or port, or end what has it"
        await bench.engine.stop(1.0)

    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        await refused(taken.getsockname()[1])
    listener = ListenerSetup("127.0.0.1", free_port(), fractional=True)
    async with running(listener, processes=2) as bench:
        bench.publish()
        await refused(listener.port)
        alone = Bench(listener)
        with pytest.raises(EngineError, match="in use"):
            await alone.engine.start(alone.events.append, SPACE)
        for miner in await one_at_each(bench):
            await finds_a_block(bench, miner)


async def test_a_reload_reaches_both_and_says_once_what_is_not_possible(tmp_path: Path) -> None:
    def listener(**changes: object) -> ListenerSetup:
        return structs.replace(ListenerSetup("127.0.0.1", free_port(), fractional=True), **changes)

    stays, goes, comes = listener(), listener(), listener()
    unix = ListenerSetup(path=str(tmp_path / "s.sock"), fractional=True)
    async with running(stays, goes, unix, processes=2) as bench:
        bench.publish()

        async def relisten(*listeners: ListenerSetup) -> list[str]:
            return await bench.engine.apply(replace(bench.engine.settings, listeners=listeners))

        staying = await one_at_each(bench)
        with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
            port = taken.getsockname()[1]
            (problem,) = await relisten(structs.replace(stays, most_difficulty=2e-10), comes, listener(port=port), unix)
        assert f"127.0.0.1:{port}: " in problem
        assert "in use" in problem
        assert bench.engine.urls == [stays.url, unix.url, comes.url]
        for miner in staying:
            await in_thread(lambda miner=miner: miner.until("mining.set_difficulty", count=2))  # type: ignore[misc]
            assert miner.difficulty == 2e-10
        await next_job(bench, *staying)
        with pytest.raises(ConnectionRefusedError):
            await in_thread(lambda: WireMiner(url=goes.url))
        at_socket = await in_thread(lambda: WireMiner(url=unix.url))
        await in_thread(at_socket.log_in)
        assert process_of(at_socket) == 0
        bench.scripts["bcrt1qmine" + "q" * 20] = P2WPKH  # the same port with other payouts: both open it anew
        assert await relisten(structs.replace(stays, pay_to="miner")) == []
        assert [await in_thread(miner.ended) for miner in staying] == [True, True]
        for process in (0, 1):
            user = "bcrt1qmine" + "q" * 20 + f".{process}"
            miner = await in_thread(lambda process=process, user=user: miner_at(bench, process, user=user))  # type: ignore[misc]
            await finds_a_block(bench, miner, user)


@pytest.mark.parametrize("most", [1, 5, 20, 4096, 1_000_000])
def test_limits_are_divided_with_room_for_chance(most: int) -> None:
    whole = ServerLimits(most, most, 7.0)
    assert whole.part(1) == whole
    for processes in (2, 16):
        part = whole.part(processes)
        assert part.no_work_secs == 7.0
        mean = most / processes
        assert min(most, mean + 4 * mean**0.5) <= part.connections == part.connections_per_address <= most
    assert ServerLimits(16_384, 4096).part(4) == ServerLimits(4352, 1152)


def test_the_parts_of_a_range_have_nothing_in_common() -> None:
    parts = [SPACE.part(number, 16) for number in range(16)]
    for number, part in enumerate(parts):
        for value in (part.nth(0), part.nth(part.count - 1)):
            assert [value in each for each in parts] == [each == number for each in range(16)]
            assert value in SPACE


async def test_a_message_that_cannot_be_taken_costs_no_later_one(caplog: pytest.LogCaptureFixture) -> None:
    """The next one may be a block."""
    taken: list[str] = []

    def take(message: FromProcess) -> None:
        assert isinstance(message, News)
        if message.kind == "bad":
            raise ValueError("a bug")
        taken.append(message.kind)

    reader = asyncio.StreamReader()
    for kind in ("first", "bad", "last"):
        reader.feed_data(encode(News(kind, {})))
    reader.feed_eof()
    await ServerProcess(take)._read(reader)
    assert taken == ["first", "last"]
    assert "a bug" in caplog.text
