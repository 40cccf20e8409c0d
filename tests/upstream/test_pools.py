"""Pools on real sockets: login, failover and return; what a pool does wrong is a clear line, and the next pool.

Waits are a second where a test waits for their end (SHORT). Elsewhere a pool has time (CALM): what comes within
PATIENCE_SECS waited for the end of none.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.networks import REGTEST
from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment
from solominer.errors import PoolError
from solominer.upstream import connection as connection_module
from solominer.upstream import pools as pools_module
from solominer.upstream.connection import Patience, password_of
from solominer.upstream.jobs import pool_job
from solominer.upstream.pools import Pools, Standing
from solominer.upstream.submit import VERDICTS, Answered, Outcome, Sent
from solominer.upstream.talk import MAX_FAULTS
from solominer.work.events import ShareFound
from solominer.work.instant import Instant
from solominer.work.workers import WorkerId
from tests.engines.stratum.pem import make_certificate
from tests.ports import free_port
from tests.upstream.scripted import SECRET, Script, ScriptedPool, notify

SHORT = Patience(
    connect_secs=1.0, login_secs=1.0, silence_secs=1.0, first_retry_secs=0.05, most_retry_secs=0.1, rest_secs=1.0
)
CALM = replace(SHORT, connect_secs=60.0, login_secs=60.0, silence_secs=60.0, rest_secs=60.0)
PATIENCE_SECS = 20.0


class Mining:
    """Pools with a user that remembers what it hears."""

    def __init__(self, *configs: PoolConfig, patience: Patience = CALM) -> None:
        self.jobs: list[tuple[PoolConfig, Assignment]] = []
        self.answers: list[Answered] = []
        self.lost: list[str] = []
        self.pools = Pools(configs, self, patience)

    async def __aenter__(self) -> Mining:
        self._task = asyncio.create_task(self.pools.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        failed = self._task.done()
        self._task.cancel()
        await asyncio.wait([self._task])
        assert not failed, self._task.exception()

    def pool_job(self, pool: PoolConfig, assignment: Assignment) -> int:
        job = pool_job(assignment, network=REGTEST, pool=pool.url, job_id=1, number=1)
        self.jobs.append((pool, assignment))
        return job.template.height

    def pool_answered(self, pool: PoolConfig, answered: Answered) -> None:
        self.answers.append(answered)

    def pool_lost(self, pool: PoolConfig, error: PoolError, *, is_news: bool) -> None:
        if is_news:
            self.lost.append(error.what.removeprefix(f"{pool.url}: "))

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until it holds."""
        deadline = time.monotonic() + PATIENCE_SECS
        while not holds():
            assert not self._task.done(), self._task.exception()
            assert time.monotonic() < deadline, (self.lost, [seat.problem for seat in self.pools.seats])
            await asyncio.sleep(0.005)

    async def at(self, pool: ScriptedPool) -> None:
        """Wait until it mines at this pool."""
        await self.until(lambda: self.pools.current and self.pools.current.pool.place[1] == pool.port)

    def submit(self, nonce: int = 1, *, is_block: bool = False) -> None:
        """A made-up share of the latest job."""
        pool, assignment = self.jobs[-1]
        share = ShareFound(
            Instant(1.0, 1.0), WorkerId("cpu", "0"), 1, bytes(8), 0x20000000, assignment.job.ntime, nonce, kernel="k"
        )
        now = asyncio.get_running_loop().time()
        self.pools.submit(pool, Sent(share, assignment, bytes(32), is_block, now))


async def test_it_logs_in_and_hands_in_shares(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "solominer")
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\nsecond line\n")
    show = {"id": None, "method": "client.show_message", "params": ["hello\x1b[2J\nthere"]}
    ping = {"id": 7, "method": "mining.ping", "params": []}
    async with (
        ScriptedPool(Script(lines=[notify(), show, ping])) as pool,
        Mining(pool.config(password_file=str(secret))) as mining,
    ):
        await mining.at(pool)
        ((_, assignment),) = mining.jobs
        assert (assignment.version_mask, assignment.difficulty) == (0x1FFFE000, 1e-9)
        mining.submit(5)
        await mining.until(lambda: mining.answers)
        assert mining.answers[0].outcome is Outcome.ACCEPTED
        assert pool.shares == [["rig.1", "j1", "00" * 8, "65000000", "00000005", "00000000"]]
        assert pool.logins == [["rig.1", SECRET]]
        (seat,) = mining.pools.seats
        await mining.until(lambda: seat.message)
        assert seat.message == "hello\\x1b[2J\\nthere"
        assert seat.submissions.latency_secs > 0
        await mining.until(lambda: pool.replies)
        assert pool.replies == [{"id": 7, "result": "pong", "error": None}]
    assert SECRET not in caplog.text
    assert "\x1b" not in caplog.text
    assert "says: hello" in caplog.text


async def test_new_extranonces_masks_and_difficulties_hold_from_the_next_job() -> None:
    async with ScriptedPool() as pool, Mining(pool.config()) as mining:
        await mining.at(pool)
        pool.say(
            {"id": None, "method": "mining.set_extranonce", "params": ["b1b2", 10]},
            {"id": None, "method": "mining.set_version_mask", "params": ["00ffe000"]},
            {"id": None, "method": "mining.set_difficulty", "params": [0.5]},
            notify("j2"),
        )
        await mining.until(lambda: len(mining.jobs) == 2)
        _, new = mining.jobs[-1]
        assert (new.extranonce1, new.extranonce2_size, new.version_mask, new.difficulty) == (
            b"\xb1\xb2", 10, 0x00FFE000, 0.5,
        )  # fmt: skip


async def test_what_was_not_answered_is_sent_again_in_the_resumed_session() -> None:
    async with ScriptedPool() as pool, Mining(pool.config()) as mining:
        await mining.at(pool)
        pool.script.verdict = lambda params: pool.cut() or [20, "never sent", None]  # type: ignore[func-returns-value]
        mining.submit(1)
        await mining.until(lambda: pool.shares)
        pool.script.verdict = lambda params: None
        mining.submit(2, is_block=True)
        await mining.until(lambda: len(mining.answers) == 2)
        assert pool.subscribed[-1][1:] == ["session-1"]
        assert {answered.outcome for answered in mining.answers} == {Outcome.ACCEPTED}
        assert mining.pools.waiting == 0


async def test_the_second_pool_takes_over_and_gives_back() -> None:
    async with ScriptedPool() as first, ScriptedPool() as second, Mining(first.config(), second.config()) as mining:
        await mining.at(first)
        assert second.connections == 0, "it is not needed"
        await first.close()
        await mining.at(second)
        await first.open()
        await mining.at(first)
        await mining.until(lambda: not second._open)
        assert mining.pools.seats[1].standing is Standing.TRYING
        assert mining.lost[0] == "the pool closed the connection" or "lost" in mining.lost[0]
        assert all("cannot connect" in lost for lost in mining.lost[1:]), "tried while it was away"


async def test_a_dead_first_pool_costs_one_attempt() -> None:
    async with ScriptedPool() as second:
        dead = PoolConfig(url=f"stratum+tcp://127.0.0.1:{free_port()}", user="u")
        async with Mining(dead, second.config()) as mining:
            await mining.at(second)
            assert mining.lost[0] == "cannot connect: Connection refused"


NAN = b'{"id":null,"method":"mining.set_difficulty","params":[NaN]}\n'


def difficulty(value: object) -> dict[str, Any]:
    return {"id": None, "method": "mining.set_difficulty", "params": [value]}


def reconnect(*params: object) -> dict[str, Any]:
    return {"id": None, "method": "client.reconnect", "params": list(params)}


BAD = {
    "NaN": (Script(lines=[NAN, notify()]), "a line that is no JSON"),
    "negative": (Script(lines=[difficulty(-1), notify()]), "not positive and finite"),
    "zero": (Script(lines=[difficulty(0), notify()]), "not positive and finite"),
    "huge": (Script(lines=[difficulty(1e300), notify()]), "no miner can meet its share difficulty of 1e+300"),
    "endless": (Script(lines=[b'{"method":"mining.set_difficulty","params":[1e999]}\n']), "not positive and finite"),
    "branch": (Script(lines=[notify(branch=["00" * 32] * 100)]), "at most 32 hashes"),
    "coinbase": (Script(lines=[notify(coinbase1="dead")]), "its job cannot be mined: the halves make no transaction"),
    "zero target": (Script(lines=[notify(nbits="00000000")]), "target of zero"),
    "height": (Script(lines=[notify(height=1 << 48)]), "does not begin with the height"),
    "extranonce2": (Script(size=3, lines=[notify(extranonce_bytes=7)]), "extranonce2 has 3 bytes, at least 4"),
    "no extranonce2": (Script(size=-1), "mining.subscribe: the size of extranonce2"),
    "mask": (Script(mask="ffffffff"), "mining.configure: the mask ffffffff"),
    "login": (Script(authorize=[24, "Unauthorized \x1b[2J", None]), "refuses user 'rig.1': Unauthorized \\x1b[2J [24]"),
    "silence": (Script(silent=True), "not logged in within 1 s"),
    "no job": (Script(lines=[]), "no job for 1 s"),
    "one job only": (Script(lines=[notify()]), "no job for 1 s"),
    "elsewhere": (
        Script(lines=[notify(), reconnect("evil.example", 3333, 0)]),
        "redirects to evil.example, which is not",
    ),
    "circles": (Script(lines=[notify(), reconnect()]), "redirects more than 5 times"),
    "no host": (Script(lines=[reconnect("a b")]), "client.reconnect names no host"),
    "garbage": (Script(first_bytes=b"\xff\xfe\0garbage\n"), "a line that is no JSON"),
    "web": (Script(first_bytes=b"HTTP/1.1 400 Bad Request\r\n\r\n"), "a web server answers there"),
    "TLS": (Script(first_bytes=b"\x15\x03\x01\0\2\2\x46\n"), "it speaks TLS"),
    "huge line": (Script(first_bytes=b"x" * 300_000), "a line of more than 256 KiB"),
    "answers": (Script(lines=[{"id": n, "result": True} for n in range(900, 921 + MAX_FAULTS)]), "answer to nothing"),
    "deep": (Script(lines=[b"[" * 200_000 + b"\n"]), "a line that is no JSON"),
}


@pytest.mark.parametrize("which", BAD)
async def test_a_bad_pool_is_a_clear_line_and_the_next_pool(which: str) -> None:
    script, said = BAD[which]
    async with ScriptedPool(script) as bad, ScriptedPool() as good:
        good.script.lines = [notify() for _ in range(3)]
        patience = SHORT if said.endswith("1 s") else CALM
        async with Mining(bad.config(password=SECRET), good.config(), patience=patience) as mining:
            await mining.until(lambda: any(said in lost for lost in mining.lost))
            await mining.at(good)
            assert all(lost.isprintable() and SECRET not in lost and len(lost) < 500 for lost in mining.lost)


async def test_a_pool_that_refuses_shares_is_left_alone_for_a_while() -> None:
    refusing = Script(verdict=lambda params: [23, "Low difficulty", None])
    patience = replace(CALM, rest_secs=0.4)
    async with ScriptedPool(refusing) as first, ScriptedPool() as second:  # noqa: SIM117 - ports
        async with Mining(first.config(), second.config(), patience=patience) as mining:
            await mining.at(first)
            began = time.monotonic()
            for nonce in range(VERDICTS):
                mining.submit(nonce)
            await mining.at(second)
            assert mining.lost == ["it refused 20 of the last 20 shares, the last with 'Low difficulty'"]
            assert mining.pools.seats[0].submissions.counts[Outcome.REJECTED] == VERDICTS
            await mining.at(first)
            assert time.monotonic() - began > patience.rest_secs / 2


async def test_a_pool_on_an_older_tip_is_noted_and_left(caplog: pytest.LogCaptureFixture) -> None:
    patience = replace(CALM, silence_secs=1.0)
    async with ScriptedPool() as pool, ScriptedPool() as second:  # noqa: SIM117 - ports
        async with Mining(pool.config(), second.config(), patience=patience) as mining:
            await mining.at(pool)
            async with asyncio.timeout(PATIENCE_SECS):
                while not mining.lost:
                    pool.say(notify("old", 150))
                    await asyncio.sleep(0.02)
            assert mining.lost == ["stale work: it stays at height 150 after 200"]
            await mining.at(second)
    assert "went back from height 200 to 150" in caplog.text


async def test_an_impossible_difficulty_is_told_once_and_the_pool_tried_again() -> None:
    async with ScriptedPool(Script(difficulty=1e300)) as pool, Mining(pool.config()) as mining:
        await mining.until(lambda: len(pool.logins) == 3)
        assert mining.jobs == []
        assert mining.lost == ["its job cannot be mined: no miner can meet its share difficulty of 1e+300"]
        pool.script.difficulty = 1e-9
        await mining.at(pool)


async def test_shares_that_are_harder_than_a_block_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with ScriptedPool(Script(difficulty=1024)) as pool, Mining(pool.config()) as mining:
        await mining.at(pool)
        pool.say(notify("j2", 201))
        await mining.until(lambda: len(mining.jobs) == 2)
    assert caplog.text.count("asks for shares of difficulty 1024, harder than a block (4.65654e-10)") == 1


async def test_a_difficulty_is_suggested_once_if_the_pools_is_far_off() -> None:
    async with ScriptedPool(Script(difficulty=1024)) as pool, Mining(pool.config()) as mining:
        mining.pools.suggest(1.0, 1e9)
        await mining.at(pool)
        for wanted in (512.0, 0.5, 0.25):
            mining.pools.suggest(wanted, 1e9)
        await mining.until(lambda: pool.suggested)
        assert pool.suggested == [0.5]


async def test_a_flood_of_jobs_or_messages_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "solominer")
    monkeypatch.setattr(pools_module, "MAX_JOBS", 30)
    messages = [{"id": None, "method": "client.show_message", "params": [f"number {n}"]} for n in range(20)]
    async with ScriptedPool(Script(lines=[*messages, *[notify()] * 40])) as flooding, ScriptedPool() as second:  # noqa: SIM117 - ports
        async with Mining(flooding.config(), second.config()) as mining:
            await mining.at(second)
            assert mining.lost == ["it sent more than 30 jobs in 10 s"]
    assert caplog.text.count("says: number") == 1


async def test_a_single_pool_is_not_left_alone_for_long() -> None:
    refusing = Script(verdict=lambda params: [23, "Low difficulty", None])
    patience = replace(CALM, rest_secs=600.0)
    async with ScriptedPool(refusing) as pool, Mining(pool.config(), patience=patience) as mining:
        await mining.at(pool)
        for nonce in range(VERDICTS):
            mining.submit(nonce)
        await mining.until(lambda: mining.lost)
        await mining.until(lambda: pool.connections == 2)


async def test_a_fault_of_our_own_costs_one_pool_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(self: Mining, pool: PoolConfig, assignment: Assignment) -> int:
        if pool.place[1] == first.port:
            raise ZeroDivisionError
        return right(self, pool, assignment)

    right = Mining.pool_job
    monkeypatch.setattr(Mining, "pool_job", faulty)
    async with ScriptedPool() as first, ScriptedPool() as second:  # noqa: SIM117 - ports
        async with Mining(first.config(), second.config()) as mining:
            await mining.at(second)
            assert mining.lost == ["an internal error"]
    assert "ZeroDivisionError" in caplog.text


async def test_a_redirect_within_the_domain_is_followed() -> None:
    async with ScriptedPool() as target:  # noqa: SIM117 - ports
        async with ScriptedPool(Script(lines=[reconnect("127.0.0.1", target.port, 0)])) as pool:
            async with Mining(pool.config()) as mining:
                await mining.until(lambda: target.connections and mining.jobs)
                assert mining.lost == []


def server_tls(folder: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    certificate, key = make_certificate(folder, *names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context, certificate


async def test_tls_with_a_certificate_that_is_trusted_and_with_others(tmp_path: Path) -> None:
    context, certificate = server_tls(tmp_path / "one", "localhost")
    async with ScriptedPool(tls=context) as pool, ScriptedPool() as plain:
        url = f"stratum+ssl://localhost:{pool.port}"
        async with Mining(PoolConfig(url=url, user="u", tls_ca=certificate)) as mining:
            await mining.at(pool)
        for config, said in (
            (PoolConfig(url=url, user="u"), "its TLS certificate is not valid: self-signed certificate"),
            (pool.config(tls_ca=str(certificate)), "its TLS certificate is not valid: IP address mismatch"),
            (PoolConfig(url=url, user="u", tls_ca=tmp_path / "none.pem"), "cannot be used: No such file"),
            (PoolConfig(url=f"stratum+ssl://127.0.0.1:{plain.port}", user="u"), "cannot connect: connection reset"),
            (PoolConfig(url=f"stratum+tcp://127.0.0.1:{pool.port}", user="u"), ""),
        ):
            async with Mining(config, plain.config()) as mining:
                await mining.until(partial(len, mining.lost))
                assert said in mining.lost[0]
                await mining.at(plain)


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    pool = PoolConfig(url="stratum+tcp://h:1", user="u", password_file=tmp_path / "none")
    with pytest.raises(PoolError, match=r"no password file at .*none"):
        password_of(pool)
    (tmp_path / "none").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PoolError, match="not UTF-8"):
        password_of(pool)
    assert password_of(PoolConfig(url="stratum+tcp://h:1", user="u")) == "x"


async def test_a_pool_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_UNSENT_BYTES", -1)
    async with ScriptedPool() as pool, Mining(pool.config()) as mining:
        await mining.until(lambda: mining.lost)
