"""Listeners that change while miners are connected: who stays, who goes, and what is said of what is not possible."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from solominer.engines.stratum import engine as engine_module
from solominer.engines.stratum.channel import ListenerSetup, ServerLimits
from solominer.engines.stratum.shares import share_target
from solominer.engines.stratum.tls import certificate_facts
from solominer.work.events import WorkerStarted
from tests.engines.stratum.builders import P2WPKH
from tests.engines.stratum.engine_rig import SPACE, Bench, in_thread, running
from tests.engines.stratum.pem import make_certificate
from tests.engines.stratum.wire import WireMiner
from tests.ports import free_port

MEMBER = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


def on_a_port(**changes: Any) -> ListenerSetup:
    """A listener on a port of its own."""
    return structs.replace(ListenerSetup("127.0.0.1", free_port(), fractional=True), **changes)


async def relisten(bench: Bench, *listeners: ListenerSetup, limits: ServerLimits | None = None) -> list[str]:
    """What was not possible."""
    settings = replace(bench.engine.settings, listeners=listeners, limits=limits or ServerLimits())
    return await bench.engine.apply(settings)


def miner_at(listener: ListenerSetup, **options: Any) -> WireMiner:
    miner = WireMiner(url=listener.url, **options)
    miner.log_in()
    return miner


async def still_works(bench: Bench, miner: WireMiner) -> None:
    """The next job arrives on the same connection."""
    before = sum(each.get("method") == "mining.notify" for each in miner.lines)
    bench.publish(tip=len(bench.jobs) + 1)
    await in_thread(lambda: miner.until("mining.notify", count=before + 1))


async def test_listeners_come_and_go_and_other_miners_do_not_notice(tmp_path: Path) -> None:
    stays, goes, comes = on_a_port(), on_a_port(), on_a_port()
    unix = ListenerSetup(path=str(tmp_path / "s.sock"), fractional=True)
    async with running(stays, goes) as bench:
        bench.publish()
        staying, leaving = await in_thread(lambda: (miner_at(stays), miner_at(goes)))
        assert await relisten(bench, comes, stays, unix) == []
        assert set(bench.engine.urls) == {stays.url, comes.url, unix.url}
        assert await in_thread(leaving.ended)
        with pytest.raises(ConnectionRefusedError):
            await in_thread(lambda: WireMiner(url=goes.url))
        await still_works(bench, staying)
        assert (await in_thread(lambda: miner_at(comes))).job
        assert (await in_thread(lambda: miner_at(unix))).job
        assert await relisten(bench) == []
        assert await in_thread(staying.ended)
        assert bench.engine.urls == []


async def test_a_restarted_server_listens_as_it_did_last() -> None:
    first, second = on_a_port(), on_a_port()
    async with running(first) as bench:
        bench.publish()
        assert await relisten(bench, second) == []
        os.kill(bench.of(WorkerStarted)[0].pid, signal.SIGKILL)
        await bench.until(lambda: len(bench.of(WorkerStarted)) == 2)
        assert (await in_thread(lambda: miner_at(second))).job
        assert bench.engine.urls == [second.url]


async def test_bounds_of_difficulty_reach_miners_that_are_connected() -> None:
    listener = on_a_port(most_difficulty=1e-10)
    async with running(listener) as bench:
        bench.publish()
        miner = await in_thread(lambda: miner_at(listener))
        assert miner.difficulty == 1e-10
        assert await relisten(bench, structs.replace(listener, most_difficulty=4e-11)) == []
        await in_thread(lambda: miner.until("mining.set_difficulty", count=2))
        await in_thread(lambda: miner.until("mining.notify", count=2))
        assert miner.difficulty == 4e-11
        assert (await in_thread(lambda: miner_at(listener))).difficulty == 4e-11


async def test_late_shares_are_judged_as_their_jobs_were_announced_over_three_reloads() -> None:
    """Each by the difficulty that its job came with, of the tip before too, which is stale and nothing worse."""
    bounds = (4e-10, 2.6e-10, 3.6e-10, 3e-10)
    block = share_target(4.65e-10)  # a little above regtest's target: none of these is a block
    listener = on_a_port(least_difficulty=bounds[0], most_difficulty=bounds[0])
    async with running(listener) as bench:
        bench.publish()
        miner = await in_thread(lambda: miner_at(listener))
        for number, bound in enumerate(bounds[1:], 2):
            changed = structs.replace(listener, least_difficulty=bound, most_difficulty=bound)
            assert await relisten(bench, changed) == []
            await in_thread(lambda number=number: miner.until("mining.notify", count=number))  # type: ignore[misc]
        jobs = {miner.job_difficulties[job[0]]: job for job in miner.jobs}
        assert tuple(jobs) == bounds
        for difficulty, job in jobs.items():
            target = share_target(difficulty)
            good, _ = miner.mine(job, target=target, above=share_target(difficulty * 1.1))
            assert (await in_thread(lambda params=good: miner.hand_in(params)))["error"] is None  # type: ignore[misc]
            again = await in_thread(lambda params=good: miner.hand_in(params))  # type: ignore[misc]
            assert again["error"][0] == 22
            weak, _ = miner.mine(job, target=share_target(difficulty * 0.9), above=target)
            refused = await in_thread(lambda params=weak: miner.hand_in(params))  # type: ignore[misc]
            assert refused["error"][0] == 23, "it met another job's difficulty at the most"
        late = [miner.mine(job, above=block, extranonce2=b"\1" * 8)[0] for job in jobs.values()]
        await still_works(bench, miner)
        for params in late:
            stale = await in_thread(lambda params=params: miner.hand_in(params))  # type: ignore[misc]
            assert stale["error"][:2] == [21, "Stale"]


async def test_a_renewed_certificate_is_for_new_connections_and_a_bad_one_for_nobody(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "miner.lan")
    listener = on_a_port(certificate=str(certificate), key=str(key))

    def shown() -> bytes:
        miner = miner_at(listener)
        assert isinstance(miner.sock, ssl.SSLSocket)
        return miner.sock.getpeercert(binary_form=True) or b""

    async with running(listener) as bench:
        bench.publish()
        miner = await in_thread(lambda: miner_at(listener))
        before = await in_thread(shown)
        make_certificate(tmp_path, "miner.lan")
        assert await in_thread(shown) == before
        assert await relisten(bench, listener) == []
        after = certificate_facts(str(certificate), str(key)).der
        assert after != before
        assert await in_thread(shown) == after
        certificate.write_text("nonsense")
        (problem,) = await relisten(bench, listener)
        assert problem.startswith(f"stratum: the TLS certificate {certificate} with {key} cannot be used: ")
        assert await in_thread(shown) == after
        await still_works(bench, miner)


@pytest.mark.parametrize("change", ["payout", "TLS"])
async def test_who_must_log_in_anew_is_disconnected(change: str, tmp_path: Path) -> None:
    """The same address with other payouts, or with TLS: its miners come back to that."""
    listener = on_a_port()
    other = structs.replace(listener, pay_to="miner")
    if change == "TLS":
        certificate, key = make_certificate(tmp_path)
        other = structs.replace(listener, certificate=str(certificate), key=str(key))
    async with running(listener) as bench:
        bench.publish()
        miner = await in_thread(lambda: miner_at(listener))
        assert await relisten(bench, other) == []
        assert await in_thread(miner.ended)
        if change == "TLS":
            assert (await in_thread(lambda: miner_at(other))).job
        else:
            refused = await in_thread(lambda: WireMiner(url=other.url))
            refused.write('{"id":1,"method":"mining.authorize","params":["no-address","x"]}\n')
            assert "must be a Bitcoin address" in str(await in_thread(lambda: refused.reply(1)))


async def test_what_is_not_possible_leaves_everything_else_as_it_was(tmp_path: Path) -> None:
    listener = on_a_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = on_a_port(port=taken.getsockname()[1])
        bad = structs.replace(listener, certificate=str(tmp_path / "missing.pem"))
        async with running(listener) as bench:
            bench.publish()
            miner = await in_thread(lambda: miner_at(listener))
            problems = await relisten(bench, bad, other)
            assert "missing.pem cannot be used: No such file" in problems[0]
            assert f"{other.url}: " in problems[1]
            assert "in use" in problems[1]
            assert "choose another address or port" in problems[1]
            assert bench.engine.urls == [listener.url]
            await still_works(bench, miner)
            os.kill(bench.of(WorkerStarted)[0].pid, signal.SIGKILL)  # the next one begins without them
            await bench.until(lambda: len(bench.of(WorkerStarted)) == 2)
            assert bench.engine.urls == [listener.url]


async def test_proxies_and_limits_are_for_the_next_connection() -> None:
    listener = on_a_port()
    async with running(listener) as bench:
        bench.publish()
        miner = await in_thread(lambda: miner_at(listener))
        assert (
            await relisten(bench, structs.replace(listener, proxies=("127.0.0.1",)), limits=ServerLimits(connections=2))
            == []
        )
        header = b"PROXY TCP4 192.0.2.7 127.0.0.1 5555 3333\r\n"
        assert (await in_thread(lambda: miner_at(listener, before=header))).job
        third = await in_thread(lambda: WireMiner(url=listener.url, before=header))
        assert await in_thread(third.ended)
        assert "at its limit of 2 connections" in str(third.lines)
        await still_works(bench, miner)


async def test_a_server_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "APPLY_SECS", 0.05)
    bench = Bench(on_a_port())
    assert await relisten(bench) == ["stratum: its server is starting: reload again in a few seconds"]
    await bench.engine.start(bench.events.append, SPACE)
    pid = bench.of(WorkerStarted)[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await relisten(bench) == ["stratum: no answer from its server within 0 s: reload again"]
    finally:
        os.kill(pid, signal.SIGCONT)
    supervising = asyncio.create_task(bench.engine.run())
    await bench.engine.stop(5.0)
    await asyncio.wait_for(supervising, 20.0)


async def test_a_group_may_begin_by_a_reload(tmp_path: Path) -> None:
    """Its account is opened first; one that cannot be read leaves everything as it was."""
    stays, group = on_a_port(), on_a_port(pay_to="group")
    account = tmp_path / "group.json"
    async with running(stays) as bench:
        bench.publish()
        settings = replace(bench.engine.settings, listeners=(stays, group), group_file=account)
        account.write_text("{")
        (problem,) = await bench.engine.apply(settings)
        assert "cannot be read" in problem
        assert bench.engine.urls == [stays.url]
        account.unlink()
        assert await bench.engine.apply(settings) == []
        bench.scripts[MEMBER] = P2WPKH
        miner = WireMiner(url=group.url)
        await in_thread(lambda: miner.log_in(user=MEMBER))
        params, _ = miner.mine()
        assert (await in_thread(lambda: miner.hand_in(params, MEMBER)))["error"] is None
        await bench.until(lambda: bench.engine._group is not None and bench.engine._group._pending)
    assert P2WPKH.hex() in account.read_text()
