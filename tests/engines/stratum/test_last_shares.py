"""Shares on their way as the server closes their connection are checked and answered, and a block is never lost."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.header import Header
from solominer.engines.stratum.channel import ListenerSetup, Publish, Relisten, ServerLimits
from solominer.engines.stratum.events import BlockFound
from solominer.engines.stratum.session import MAX_BAD_LINES
from solominer.engines.stratum.v2.messages import SubmitSharesError
from tests.engines.stratum.builders import (
    MASK,
    P2WPKH,
    REGTEST_BITS,
    Client,
    line,
    make_shared,
    make_work,
    network_target,
)
from tests.engines.stratum.pem import make_certificate
from tests.engines.stratum.test_edges import ANY, Bench, serving
from tests.engines.stratum.v2.miner import Miner, framed, solve

EASY_BLOCKS = make_work(2, nbits=REGTEST_BITS, outputs=((P2WPKH, 312_500_000),))


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server waits for last shares, and for this test's turn, longer than the machine may be busy."""
    for module in ("connection", "server"):
        for name in ("LAST_SHARES_SECS", "LAST_BLOCKS_SECS"):
            monkeypatch.setattr(f"solominer.engines.stratum.{module}.{name}", 1.0)


class Socket:
    """A miner at a socket of the bench."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._hashing = Client(make_shared(EASY_BLOCKS))

    async def read(self, until: Callable[[dict[str, Any]], bool] = lambda each: False) -> list[dict[str, Any]]:
        """Lines up to such a one, or up to the end."""
        lines = []
        async with asyncio.timeout(20):
            while data := await self._reader.readline():
                lines.append(json.loads(data))
                if until(lines[-1]):
                    break
        self._hashing.note(lines)
        return lines

    def write(self, *lines: str) -> None:
        """These lines in one packet, which is in the server's kernel when this returns."""
        self._writer.write("".join(each + "\n" for each in lines).encode())

    def leave(self) -> None:
        """Close this end."""
        self._writer.close()

    def block(self) -> tuple[str, Header]:
        """The line of a block, and its header."""
        params, header = self._hashing.mine(target=network_target(EASY_BLOCKS))
        return line(77, "mining.submit", "rig", *params), header


async def _log_in(bench: Bench, tls: bool = False) -> Socket:
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = bench.url.partition("://")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    bench.writers.append(writer)
    miner = Socket(reader, writer)
    miner.write(line(1, "mining.subscribe", "x/1"), line(2, "mining.authorize", "rig", "x"))
    await miner.read(lambda each: each.get("method") == "mining.notify")
    return miner


async def _on_disk(bench: Bench) -> bytes:
    """The daemon keeps the next block; its hash."""
    await bench.until(lambda: bench.of(BlockFound))
    block: BlockFound = bench.of(BlockFound)[0]
    bench.server.unsaved.saved(block.hash_le)
    return block.hash_le


async def _stop(bench: Bench) -> None:
    await bench.server.close()


async def _reload(bench: Bench) -> None:
    await bench.server.relisten(Relisten([], ServerLimits()))


async def _lack_work(bench: Bench) -> None:
    bench.server.withdraw()
    bench.now += 1000
    bench.server.tick()


@pytest.mark.parametrize("close", [_stop, _reload, _lack_work])
async def test_a_block_that_is_on_its_way_as_the_server_closes_is_found_and_answered(
    close: Callable[[Bench], Coroutine[Any, Any, None]],
) -> None:
    async with serving() as bench:
        bench.server.publish(Publish(EASY_BLOCKS))
        miner = await _log_in(bench)
        block, header = miner.block()
        miner.write(block)  # and the server has no turn before it closes
        closing = asyncio.create_task(close(bench))
        assert await _on_disk(bench) == header.hash_le()
        assert {"id": 77, "result": True, "error": None} in await miner.read()
        await closing


async def test_over_tls_too(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    listener = ListenerSetup("127.0.0.1", 0, fractional=True, certificate=str(certificate), key=str(key))
    async with serving(listener) as bench:
        bench.server.publish(Publish(EASY_BLOCKS))
        miner = await _log_in(bench, tls=True)
        block, header = miner.block()
        miner.write(block)
        closing = asyncio.create_task(_reload(bench))
        assert await _on_disk(bench) == header.hash_le()
        assert {"id": 77, "result": True, "error": None} in await miner.read()
        await closing


async def test_a_block_that_crosses_the_servers_end_is_found() -> None:
    """The miner has not read yet that nothing more will be said."""
    async with serving() as bench:
        bench.server.publish(Publish(EASY_BLOCKS))
        miner = await _log_in(bench)
        block, header = miner.block()
        closing = asyncio.create_task(_reload(bench))
        await miner.read()  # to the end
        miner.write(block)
        miner.leave()
        assert await _on_disk(bench) == header.hash_le()
        await closing
        await bench.server.close()  # it left, so nobody is waited for
        assert bench.open == 0


async def test_a_block_behind_lines_that_end_the_connection_is_found() -> None:
    async with serving(ANY) as bench:
        bench.server.publish(Publish(EASY_BLOCKS))
        miner = await _log_in(bench)
        block, header = miner.block()
        miner.write(*MAX_BAD_LINES * ["nonsense"])
        await miner.read(lambda each: each.get("error") is not None)
        miner.write(block)
        assert await _on_disk(bench) == header.hash_le()
        assert {"id": 77, "result": True, "error": None} in await miner.read()


def test_a_v2_block_behind_a_message_that_ends_the_connection_is_found() -> None:
    work = make_work(nbits=REGTEST_BITS)
    miner = Miner(make_shared(work))
    miner.open()
    cipher = miner.client._send
    assert cipher is not None
    wrong = framed(cipher, 0x16, b"short", channel=True)
    block = miner.client.sealed(miner.work().share(5, solve(miner.work(), network_target(work))))
    lost = miner.client.sealed(miner.work().share(6, Header(MASK | 0x20000000, bytes(32), bytes(32), 0, 0, 0)))
    answers = miner.take(miner.session.receive(wrong + block + lost, 0.0))
    assert "a message that cannot be read" in miner.closed
    assert len(miner.of(BlockFound)) == 1
    assert len(answers) == 2
    assert isinstance(answers[0], SubmitSharesError)
