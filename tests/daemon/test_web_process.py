"""The web server beside the daemon: its address, its errors, and starting it again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from solominer.config.web import WebConfig
from solominer.daemon import web_process
from solominer.daemon.web_process import WebProcess
from solominer.web.setup import WebSetup
from tests.ports import free_port


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(web_process, "FIRST_BACKOFF_SECS", 0.1)
    caplog.set_level(logging.INFO, "solominer")


def setup(folder: Path, port: int) -> WebSetup:
    return WebSetup(folder=folder, network="regtest", simulated=False, web=WebConfig(listen=f"127.0.0.1:{port}"))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


def web_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "solominer.web" in child.cmdline()]


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not web_processes()


async def test_it_serves_is_started_again_and_ends_with_its_task(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    task = asyncio.create_task(WebProcess(setup(tmp_path, port)).run())
    url = f"http://127.0.0.1:{port}/"
    said = f"the web page is at {url}"
    await until(lambda: said in caplog.text)
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).status_code == 200
    (process,) = web_processes()
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: caplog.text.count(said) == 2)
    assert "no web page: it ended with exit code -9" in caplog.text
    await end(task)


async def test_a_port_in_use_is_said_once_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        task = asyncio.create_task(WebProcess(setup(tmp_path, port)).run())
        await until(lambda: "no web page" in caplog.text)
        await asyncio.sleep(2.5)
    await until(lambda: "the web page is at" in caplog.text)
    assert caplog.text.count("no web page: the web server cannot listen on") == 1
    assert "set web.listen to another port" in caplog.text
    await end(task)
