"""`solominer devices`: asking once, and looking for miners in a subnet."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from solominer.cli import app
from solominer.errors import ConfigError
from solominer.web.devices import http, scan
from solominer.web.devices.scan import Found, settings, subnet
from tests.ports import free_port
from tests.web.fake_devices import BITAXE, NERDQAXE, FakeDevice, page


@contextmanager
def serving(fake: FakeDevice) -> Iterator[FakeDevice]:
    """The fake on a loop in a thread of its own: commands have theirs."""
    ready, loop, ended = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with fake.serving():
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def fakes() -> Iterator[Callable[[Any], FakeDevice]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(FakeDevice(answer)))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["devices", *arguments])


def config(folder: Path, *devices: dict[str, Any]) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps({"mode": "demo", "devices": devices}))
    return str(path)


def test_list_shows_what_each_says(tmp_path: Path, fakes: Callable[[Any], FakeDevice]) -> None:
    kitchen, attic = fakes(BITAXE), fakes(NERDQAXE | {"temp": 80})
    path = config(tmp_path, {"host": kitchen.host, "name": "kitchen"}, {"host": attic.host, "name": "attic"})
    done = run("list", "--config", path)
    assert done.exit_code == 0, done.output
    head, first, second = done.output.splitlines()
    assert head.split()[:2] == ["name", "state"]
    for text in ("kitchen", "hashing", "1.21 TH/s", "58 °C", "18.3 W", "15.1 J/TH", "1,102", "192.168.1.20:3333"):
        assert text in first
    assert "hot" in second
    assert head.index("model") == first.index("BM1370") == second.index("NerdQAxe++")


def test_list_names_those_that_do_not_answer(tmp_path: Path, fakes: Callable[[Any], FakeDevice]) -> None:
    broken = fakes(page(b"", "500 Error"))
    path = config(tmp_path, {"host": broken.host, "name": "shed", "kind": "axeos"})
    done = run("list", "--config", path)
    assert done.exit_code == 1
    assert "no answer" in done.output
    assert "shed: it answered with status 500: check its address" in done.output
    as_json = run("list", "--config", path, "--json")
    assert as_json.exit_code == 1
    (found,) = json.loads(as_json.output)
    assert (found["name"], found["state"], found["failures"], found["rate_hps"]) == ("shed", None, 1, None)


def test_list_without_devices(tmp_path: Path) -> None:
    done = run("list", "--config", config(tmp_path))
    assert isinstance(done.exception, ConfigError)
    assert "devices scan" in done.exception.todo


def test_without_the_packages_of_the_web_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    done = run("scan", "192.168.1.0/24")
    assert isinstance(done.exception, ConfigError)
    assert "solominer[web]" in done.exception.todo


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("home", "not a subnet"),
        ("8.8.8.0/24", "not a private subnet"),
        ("10.0.0.0/8", "more than 1,024"),
        ("192.168.0.0/21", "more than 1,024"),
        ("fd00::/120", "IPv6"),
        ("192.168.1.0/33", "not a subnet"),
    ],
)
def test_scan_refuses(text: str, problem: str) -> None:
    done = run("scan", text)
    assert isinstance(done.exception, ConfigError)
    assert problem in done.exception.what


def test_subnets() -> None:
    assert str(subnet("192.168.1.77/24")) == "192.168.1.0/24"
    assert subnet("10.1.0.0/22").num_addresses == 1024
    assert subnet("192.168.1.5").num_addresses == 1


async def test_a_scan_finds_both_kinds() -> None:
    nothing = free_port()
    async with FakeDevice(BITAXE).serving() as axe, FakeDevice(page(b"<html>", "404 Not Found")).serving() as web:
        network = IPv4Network("127.0.0.1/32")
        found = [each async for each in scan.scan(network, axe.port, nothing)]
        assert [(each.host, each.reading and each.reading.hostname) for each in found] == [
            ("127.0.0.1", "bitaxe-kitchen")
        ]
        assert [each async for each in scan.scan(network, web.port, axe.port)] == [Found("127.0.0.1", None)]
        assert [each async for each in scan.scan(network, web.port, nothing)] == []
        assert [each async for each in scan.scan(IPv4Network("127.0.0.0/29"), nothing, nothing)] == []


async def test_a_scan_does_not_wait_for_those_that_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "TIMEOUT_SECS", 0.1)
    async with FakeDevice(None).serving() as fake:
        assert [each async for each in scan.scan(IPv4Network("127.0.0.1/32"), fake.port, free_port())] == []
    assert len(fake.asked) == 1
    assert http.TIMEOUT_SECS > 1, "the monitor itself is more patient"


def test_scan_prints_lines_that_the_config_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from solominer.config.load import load_config
    from solominer.web.devices.axeos import reading

    async def found(network: object) -> Any:
        yield Found("192.168.1.10", None)
        yield Found("192.168.1.9", reading(BITAXE))
        for host in ("192.168.1.8", "192.168.1.7"):
            yield Found(host, reading(NERDQAXE))

    monkeypatch.setattr(scan, "scan", found)
    done = run("scan", "192.168.1.0/24")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("4 found in 192.168.1.0/24")
    lines = "{" + done.output.partition("\n\n")[2] + "}"
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"mode": "demo", **json.loads(lines)}))
    devices = load_config(path, environ={}).devices
    assert [each.label for each in devices] == ["192.168.1.7", "192.168.1.8", "bitaxe-kitchen", "192.168.1.10"]
    assert [each.kind for each in devices] == ["axeos", "axeos", "axeos", "pyasic"]
    assert len(json.loads(run("scan", "192.168.1.0/24", "--json").output)) == 4


def test_scan_that_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(network: object) -> AsyncIterator[Found]:
        for each in list[Found]():
            yield each

    monkeypatch.setattr(scan, "scan", found)
    assert "no miner answers in 10.0.0.0/24" in run("scan", "10.0.0.0/24").output
    assert settings([]) == []
