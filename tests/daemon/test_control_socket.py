"""The control socket: who may open it, what it answers, long paths, leftovers, and callers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.fields import Field
from solominer.daemon.control_socket import ControlServer, Handler
from solominer.errors import ConfigError, NotRunning, SolominerError
from solominer.records.control_client import MAX_PATH_BYTES, POINTER_NAME, SOCKET_NAME, ask, running_in, socket_path


def refuse(request: Field) -> dict[str, Any]:
    raise ConfigError("it cannot be done", "do something else")


HANDLERS: dict[str, Handler] = {"echo": lambda request: {"got": request.value}, "refuse": refuse}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[ControlServer]:
    folder.mkdir(parents=True, exist_ok=True)
    server = ControlServer(folder, HANDLERS)
    task = asyncio.create_task(server.run())
    try:
        while not server.path.exists():  # bound and listening in one step of the loop
            assert not task.done()
            await asyncio.sleep(0)
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def asked(folder: Path, **request: Any) -> dict[str, Any]:
    return await asyncio.to_thread(ask, folder, request)


async def test_answers_and_is_for_the_owner_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        assert server.path.stat().st_mode & 0o777 == 0o600
        assert await asked(tmp_path, do="echo", more=[1]) == {"ok": True, "got": {"do": "echo", "more": [1]}}
        with pytest.raises(SolominerError, match="it cannot be done") as caught:
            await asked(tmp_path, do="refuse")
        assert caught.value.todo == "do something else"
        with pytest.raises(SolominerError, match="unknown request"):
            await asked(tmp_path, do="format the disk")
    assert not server.path.exists()


async def test_whoever_runs_in_a_data_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "mainnet").mkdir()
    (tmp_path / "lock").write_text("")
    assert running_in(tmp_path) is None
    assert running_in(tmp_path / "nowhere") is None
    async with serving(tmp_path / "regtest"):
        assert await asyncio.to_thread(running_in, tmp_path) == tmp_path / "regtest"


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as caught:
        await asked(tmp_path, do="echo")
    assert caught.value.exit_code == 8


async def test_leftover_of_a_killed_run_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(NotRunning):
        await asked(tmp_path, do="echo")
    (tmp_path / SOCKET_NAME).unlink()
    (tmp_path / SOCKET_NAME).write_text("")
    server = ControlServer(tmp_path, HANDLERS)
    task = asyncio.create_task(server.run())
    while not (tmp_path / SOCKET_NAME).is_socket():
        await asyncio.sleep(0)
    assert (await asked(tmp_path, do="echo"))["ok"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_long_path_goes_elsewhere_and_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller finds it by the pointer, also with other variables than the daemon had."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    folder = tmp_path / ("long" * 30)
    if len(str(socket_path(folder))) > MAX_PATH_BYTES:
        short = Path("/tmp") / f"solominer-test-{tmp_path.parent.name[-8:]}"
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    async with serving(folder) as server:
        assert server.path.parent.stat().st_mode & 0o777 == 0o700
        assert (folder / POINTER_NAME).read_text().strip() == str(server.path)
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        assert (await asked(folder, do="echo"))["ok"]
    assert not server.path.exists()
    assert not (folder / POINTER_NAME).exists()
    server.path.parent.rmdir()


async def test_place_where_none_can_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Mining goes on without the socket, and says so."""
    (tmp_path / "file").write_text("")
    task = asyncio.create_task(ControlServer(tmp_path / "file" / "below", HANDLERS).run())
    while not caplog.records:
        await asyncio.sleep(0)
    assert "no control socket" in caplog.text
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("line", [b"not json\n", b"[]\n", b"{}\n", b'{"do": []}\n', b"\xff\n", b"7\n"])
async def test_nonsense_is_answered_and_the_server_lives(tmp_path: Path, line: bytes) -> None:
    async with serving(tmp_path) as server:
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        writer.write(line)
        reply = json.loads(await reader.readline())
        assert reply["ok"] is False
        writer.close()
        assert (await asked(tmp_path, do="echo"))["ok"]


async def test_endless_line_and_hang_up(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, writer = await asyncio.open_unix_connection(str(server.path), limit=1 << 22)
        writer.write(b"x" * (3 << 20))
        writer.close()
        assert (await asked(tmp_path, do="echo"))["ok"]


async def test_a_link_in_the_place_of_the_private_folder_is_refused_and_nothing_behind_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a shared directory anybody can make one."""
    shared, behind, folder = tmp_path / "shared", tmp_path / "ours", tmp_path / ("x" * MAX_PATH_BYTES)
    for made in (shared, behind, folder):
        made.mkdir(mode=0o755)
    (shared / "solominer").symlink_to(behind)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared))
    task = asyncio.create_task(ControlServer(folder, HANDLERS).run())
    async with asyncio.timeout(10):
        while "no control socket" not in caplog.text:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert behind.stat().st_mode & 0o777 == 0o755
    assert list(behind.iterdir()) == []
