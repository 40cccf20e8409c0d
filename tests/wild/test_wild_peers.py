"""Everybody else who talks to the daemon, wildly: ZMQ publishers, the source of the price, callers of the control
socket, and lines in files.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from solominer.daemon.control_socket import ControlServer
from solominer.errors import PriceError, SolominerError
from solominer.governor.prices import PriceSource
from solominer.node.zmq_hints import Publisher
from solominer.records.control_client import ask
from solominer.records.ledger.jsonlines import parse_object, read_lines
from solominer.records.report.hour import HourFold
from solominer.records.report.report import build_report
from solominer.records.tree import Part
from tests.wild.test_wild_replies import REPLIES, SEED
from tests.wild.values import encoded, places, replaced, wild, without


def bodies(true: Any, count: int) -> Iterator[bytes]:
    """`count` times the JSON of `true` with one thing wrong in it."""
    rng = random.Random(SEED)
    spots = list(places(true))
    for _ in range(count):
        path = rng.choice(spots)
        if path and rng.randrange(6) == 0:
            yield encoded(without(true, path))
        else:
            yield encoded(replaced(true, path, wild(rng, true)))


class Heard:
    """What the publishers' messages lead to."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []

    def hinted(self, hash_le: bytes) -> None:
        """A new best block."""
        self.hashes.append(hash_le)

    def kick(self) -> None:
        """A poll is wanted."""


@pytest.mark.parametrize("topic", ["hashblock", "sequence"])
async def test_zmq_messages(topic: str) -> None:
    rng, heard = random.Random(SEED), Heard()
    publisher = Publisher("a", topic, "tcp://127.0.0.1:1", heard, lambda: None)
    sizes = (0, 1, 3, 4, 5, 31, 32, 33, 40, 41, 1000, 100_000)
    for _ in range(REPLIES):
        parts = [rng.randbytes(rng.choice(sizes)) for _ in range(rng.randrange(6))]
        if parts and rng.randrange(2):
            parts[0] = topic.encode()
        publisher.take(parts)
    assert all(len(each) == 32 for each in heard.hashes)
    heard.hashes.clear()
    publisher.take([b"hashblock", b"\1" * 32, bytes(4)])
    assert heard.hashes == ([b"\1" * 32] if topic == "hashblock" else [])


def test_prices() -> None:
    answers = [*bodies({"data": [{"price": 0.25}]}, REPLIES), b'{"data": [{"price": "0.5"}]}']
    waiting = iter(answers)
    source = PriceSource(
        "http://x", "data.0.price", scale=0.001, refresh_secs=1, stale_secs=1, fetch=lambda url: next(waiting)
    )
    refused = 0
    for _ in range(REPLIES):
        try:
            assert abs(source.fetch().per_kwh) <= 1e9
        except PriceError as error:
            refused += 1
            said = str(error)
            assert len(said) < 500, said
    assert refused > REPLIES / 3
    assert source.fetch().per_kwh == 0.0005


async def test_control_requests(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, {"echo": lambda request: {"got": request["text"].text()}})
    task = asyncio.create_task(server.run())
    while not server.path.exists():
        await asyncio.sleep(0)

    def talk() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(server.path))
            with connection.makefile("rb") as stream:
                for body in bodies({"do": "echo", "text": "x"}, REPLIES):
                    connection.sendall(body.replace(b"\n", b" ") + b"\n")
                    reply = json.loads(stream.readline())
                    assert reply["ok"] or len(reply["error"]) < 500
        assert ask(tmp_path, {"do": "echo", "text": "again"}) == {"ok": True, "got": "again"}

    await asyncio.to_thread(talk)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_answers_of_what_is_no_daemon(tmp_path: Path) -> None:
    """`status` and the others end with one error of ours, whatever listens there."""
    bodies_left = bodies({"ok": False, "error": "x", "todo": "y"}, min(REPLIES, 300))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(next(bodies_left) + b"\n")
        writer.close()

    def call() -> None:
        for _ in range(min(REPLIES, 300)):
            try:
                ask(tmp_path, {"do": "status"})
            except SolominerError as error:
                said = str(error)
                assert len(said) < 20_500

    async with await asyncio.start_unix_server(answer, tmp_path / "control.sock"):
        await asyncio.to_thread(call)


def test_lines_of_files(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = [body.replace(b"\n", b" ") for body in bodies({"seq": 1, "at": 1.5, "kind": "job"}, REPLIES)]
    path.write_bytes(b"\n".join([*lines, b'{"seq": 2}', b""]))
    *_, last = read = list(read_lines(path))
    assert len(read) == REPLIES + 1
    assert last.value == {"seq": 2}
    assert all(each.value is None or isinstance(each.value, dict) for each in read)


LEDGER: list[dict[str, Any]] = [
    {"kind": "open", "plan": {"hash": "aa"}},
    {"kind": "begin", "counters": {"cpu/0": 5}},
    {
        "kind": "work", "job": "1", "nbits": "207fffff", "share_target_hex": "7f" + "ff" * 31, "fees_sats": 5,
        "height": 3, "prevhash": "aa", "coinbase_prefix_hex": "", "extranonce1_hex": "", "coinbase_suffix_hex": "",
        "merkle_branch_hex": [],
    },
    {"kind": "counters", "counters": {"cpu/0": 100}},
    {"kind": "share", "job": "1", "hash": "00" * 8 + "11" * 24, "worker": "cpu/0", "plan": {"plan_hash_hex": "aa"}},
    {"kind": "latency", "what": "tip_to_stop", "secs": 0.1},
    {"kind": "system", "cpu_percent": 5.0, "load": 1.0, "memory_bytes": 5},
    {"kind": "health", "node": "a", "usable": True, "height": 5, "rpc_secs": 0.1},
    {"kind": "template", "rpc_secs": 0.1, "parse_secs": 0.1},
    {"kind": "block_found", "hash": "aa", "height": 5, "reward_sats": 5},
    {"kind": "block_state", "hash": "aa", "height": 5, "state": "found", "detail": "x"},
    {"kind": "error", "id": "x", "severity": "low", "code": "c", "message": "m"},
    {"kind": "torn", "bytes": 5},
    {"kind": "lost", "entries": 5},
]  # fmt: skip


def test_a_wild_line_in_a_ledger_stops_no_report() -> None:
    rng = random.Random(SEED)
    part = Part.parse("2026/11/28/11")
    for _ in range(min(REPLIES, 5000)):
        fold, odd_one = HourFold(), rng.randrange(len(LEDGER))
        for number, line in enumerate(LEDGER):
            entry = {"seq": number, "at": 1_795_250_000.0 + number, "up": 1.0 + number, **line}
            if number == odd_one:
                spot = rng.choice([place for place in places(entry) if place])
                entry = replaced(entry, spot, wild(rng, 0))
            found = parse_object(encoded(entry))
            if found is not None:
                fold.add(found)
        report = build_report(
            fold, network="regtest", tree="regtest", part=part, why="hour", head=None, previous=None, retired=[]
        )
        for document in (report, fold.errors.document("regtest", part.path), fold.best.document("regtest", part.path)):
            assert orjson.dumps(document)
