"""V1 and V2 on one port of the whole engine: who is taken for whom, blocks, restarts, keys, and who is turned away."""

from __future__ import annotations

import os
import random
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from solominer.engines.stratum import authority
from solominer.engines.stratum.authority import load_authority
from solominer.engines.stratum.channel import ListenerSetup, ServerLimits, Setup
from solominer.engines.stratum.connection import FIRST_BYTES_SECS, Connection
from solominer.engines.stratum.lines import Spoken, spoken_in
from solominer.engines.stratum.listener import Listener
from solominer.engines.stratum.server import Server
from solominer.engines.stratum.v2 import curve
from solominer.engines.stratum.v2.certificate import parse_key
from solominer.engines.stratum.v2.messages import SetNewPrevHash
from solominer.engines.stratum.v2.noise import ACT2_BYTES
from solominer.errors import BadValue, EngineError
from tests.engines.stratum.builders import line, make_shared
from tests.engines.stratum.engine_rig import LOCAL, connected, in_thread, running, target_of
from tests.engines.stratum.test_clients import PLAYS
from tests.engines.stratum.test_connection import Transport
from tests.engines.stratum.v2.miner import extended, solve, standard
from tests.engines.stratum.v2.wire import V2WireMiner
from tests.ports import free_port

ONLY = structs.replace(LOCAL, v2="only")


# First bytes


@pytest.mark.parametrize("name", PLAYS)
def test_the_first_line_of_each_v1_client_is_v1s(name: str) -> None:
    first = PLAYS[name].packets[0].encode()
    assert spoken_in(first) is Spoken.V1
    assert all(spoken_in(first[:size]) in (None, Spoken.V1) for size in range(len(first)))


@pytest.mark.parametrize(
    "first",
    [
        b'{"id":1,"method":"mining.subscribe"}\n',
        b'  {"id":1}\r\n',
        '{"params":["größe €"]}\n'.encode(),
        b'{"params":["' + "€".encode() * 30,
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(60)),
        b"hello " * 11,
    ],
)
def test_what_is_v1s(first: bytes) -> None:
    assert spoken_in(first) is Spoken.V1


@pytest.mark.parametrize(
    "first", [b"", b"{", b'{"id":1', b"hello\n", b"\x16\x03", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"]
)
def test_what_is_open(first: bytes) -> None:
    assert spoken_in(first) is None


def test_random_keys_are_v2s_whatever_they_begin_with() -> None:
    rng = random.Random(1)
    for first in (b"", b"{", b'{"', b'{"id":', b"GET", b"\x16\x03", b"\n", b"mining"):
        for _ in range(300):
            assert spoken_in(first + rng.randbytes(64 - len(first))) is Spoken.V2


def connection_with(v2: str) -> tuple[Connection, list[bytes], list[float]]:
    """A connection without a socket, what it sends, and its clock."""
    clock, sent = [0.0], list[bytes]()

    class Noting(Transport):
        def write(self, data: Any) -> None:
            sent.append(data)

        def get_write_buffer_size(self) -> int:
            return 0

        def close(self) -> None:
            self.calls.append("close")

    listener = ListenerSetup("127.0.0.1", 0, v2=v2)
    server = Server(
        Setup(1, [], ServerLimits(9, 9), 0, 99, 0, authority_secret=bytes(31) + b"\1"), print, lambda: clock[0]
    )
    server._no_work_since = None
    one = Connection(server, Listener(listener, make_shared()))
    one.connection_made(Noting())
    return one, sent, clock


@pytest.mark.parametrize(("v2", "answers"), [("auto", True), ("only", True), ("off", False)])
def test_a_listener_speaks_v2_or_not(v2: str, answers: bool) -> None:
    one, sent, _ = connection_with(v2)
    key = curve.keypair().encoded
    for byte in key:
        one.data_received(bytes([byte]))
    assert (ACT2_BYTES in map(len, sent)) is answers  # else the key may have held what ends a line


def test_a_v1_miner_on_a_port_for_v2_alone_is_told_so() -> None:
    one, sent, _ = connection_with("only")
    one.data_received(line(1, "mining.subscribe").encode() + b"\n")
    assert b"stratum2+tcp://" in sent[0]
    assert one.closed_for == "Stratum V1 on a port for V2 alone"


def test_who_types_a_word_hears_something_after_a_while() -> None:
    one, sent, clock = connection_with("auto")
    one.data_received(b"help\n")
    one.tick(1.0)
    assert sent == []
    clock[0] = FIRST_BYTES_SECS + 1
    one.tick(clock[0])
    assert b"Not a JSON request" in sent[0]


# The authority key


def test_the_authority_key_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "authority.json"
    first = load_authority(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert parse_key(first.key) == curve.public_x(first.secret)
    assert first.secret.hex() not in repr(first)
    path.chmod(0o644)
    assert load_authority(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", ["", "{}", '{"secret":"00","key":"x"}', "[" * 9999, f'{{"secret":"{"00" * 32}","key":""}}']
)
def test_a_damaged_authority_key_is_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "authority.json"
    path.write_text(content)
    with pytest.raises(EngineError, match="the file is damaged"):
        load_authority(path)
    assert path.read_text() == content


def test_a_key_of_another_secret_is_found_out_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "authority.json"
    secret, other = load_authority(tmp_path / "one"), load_authority(tmp_path / "other")
    path.write_text(f'{{"secret":"{secret.secret.hex()}","key":"{other.key}"}}')
    with pytest.raises(EngineError) as raised:
        load_authority(path)
    assert secret.secret.hex() not in str(raised.value)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be used"):
        load_authority(tmp_path)


async def test_without_the_packages_v1_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(authority, "find_spec", lambda name: None)
    caplog.set_level("INFO")
    async with running(authority_file=tmp_path / "a.json") as bench:
        assert [url.partition(":")[0] for url in bench.engine.urls] == ["stratum+tcp"]
    assert "needs the package cryptography" in caplog.text
    assert "pip install 'solominer[stratum2]'" in caplog.text
    with pytest.raises(EngineError, match="needs the package"):
        async with running(ONLY, authority_file=tmp_path / "a.json"):
            pass


# The whole engine


async def test_both_protocols_find_blocks_on_one_port(tmp_path: Path) -> None:
    async with running(authority_file=tmp_path / "a.json") as bench:
        job = bench.publish()
        v1_url, v2_url = bench.engine.urls
        assert v2_url.startswith(v1_url.replace("stratum+", "stratum2+") + "/9")

        def mine() -> list[bytes]:
            hashes = []
            for asked in (standard(), extended()):
                miner = V2WireMiner(v2_url)
                channel = miner.open(asked)
                assert channel.work is not None
                header = solve(channel.work, target_of(job))
                assert miner.hand_in(channel.work, header) == ""
                hashes.append(header.hash_le())
                miner.close()
            v1 = connected(bench)
            params, header = v1.mine(target=target_of(job))
            assert v1.hand_in(params)["result"] is True
            return [*hashes, header.hash_le()]

        hashes = await in_thread(mine)
        await bench.until(lambda: len(bench.blocks()) == 3)
        assert {block.hash_le for block in bench.blocks()} == set(hashes)
        await bench.until(lambda: sum(worker.shares for worker in bench.snapshot().workers) == 3)
        kernels = {worker.kernel for worker in bench.snapshot().workers}
        assert kernels <= {"bitaxe BM1370 v2.9.0", "test/1"}
        await bench.until(lambda: sum(kind == "miner_left" for kind, _ in bench.notes) == 2)
        left = next(fields for kind, fields in bench.notes if kind == "miner_left")
        assert (left["worker"], left["shares"], left["user_agent"]) == ("rig.1", 1, "bitaxe BM1370 v2.9.0")


async def test_a_new_tip_reaches_v2_miners_and_a_restarted_server_has_the_same_key(tmp_path: Path) -> None:
    fixed = ListenerSetup("127.0.0.1", free_port(), fractional=True)  # port 0 would be another one then
    async with running(fixed, authority_file=tmp_path / "a.json", processes=2) as bench:
        bench.publish(tip=1)
        url = bench.engine.urls[1]
        miner = await in_thread(lambda: V2WireMiner(url))
        channel = await in_thread(miner.open)
        start = len(miner.messages)
        job = bench.publish(tip=2)
        prev = await in_thread(lambda: miner.until(SetNewPrevHash, start))
        assert prev.prev_hash == job.template.prevhash_le
        assert channel.work is not None
        for server in bench.engine._servers:
            os.kill(server.pid, signal.SIGKILL)
        await in_thread(miner.ended)
        await bench.until(lambda: all(server.starts == 2 and server.is_serving for server in bench.engine._servers))
        again = await in_thread(lambda: V2WireMiner(url))
        channel = await in_thread(again.open)
        work = channel.work
        assert work is not None
        assert work.prev_hash == job.template.prevhash_le
        assert await in_thread(lambda: again.hand_in(work, solve(work, target_of(job)))) == ""
        await bench.until(lambda: len(bench.blocks()) == 1)


async def test_a_server_with_another_key_is_refused_by_the_miner(tmp_path: Path) -> None:
    async with running(ONLY, authority_file=tmp_path / "a.json") as bench:
        bench.publish()
        (url,) = bench.engine.urls
        other = parse_key(load_authority(tmp_path / "other.json").key)
        with pytest.raises(BadValue, match="not signed by this authority key"):
            await in_thread(lambda: V2WireMiner(url, other))


async def test_handshakes_that_stop_keep_nobody_out(tmp_path: Path) -> None:
    async with running(authority_file=tmp_path / "a.json") as bench:
        bench.publish()
        url = bench.engine.urls[1]
        host, _, port = url.partition("//")[2].partition("/")[0].rpartition(":")

        def cut_short() -> None:
            stopped = [socket.create_connection((host, int(port))) for _ in range(20)]
            for number, sock in enumerate(stopped):
                sock.sendall(curve.keypair().encoded[: 3 * number])
            miner = V2WireMiner(url)
            miner.open()
            miner.close()
            changed = V2WireMiner(url)
            changed.sock.sendall(bytes(22))
            assert changed.ended()
            for sock in stopped:
                sock.close()

        await in_thread(cut_short)
