"""Whoever holds a lock and hangs stops no command for ever: tokens of the web server, and a cluster's folder."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from solominer.config import file_lock
from solominer.errors import ConfigError
from solominer.setup.cluster.folder import ClusterFolder
from solominer.web.access.tokens import Role, TokenFile


@contextmanager
def held(path: Path) -> Iterator[Callable[[], None]]:
    """Somebody else has the lock; what it gives ends that."""
    handle = os.open(path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield lambda: fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def within(secs: float, work: Callable[[], object]) -> BaseException | None:
    """What the work raised; it must have ended by then."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed on
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(secs)
    assert not thread.is_alive(), "it waits for ever"
    return raised[0] if raised else None


@pytest.mark.parametrize("which", ["tokens", "cluster"])
def test_a_lock_that_another_process_keeps_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    monkeypatch.setattr(file_lock, "PATIENCE_SECS", 0.1)
    tokens = TokenFile(tmp_path)
    (tmp_path / ".lock").touch()
    path = tmp_path if which == "tokens" else tmp_path / ".lock"
    with held(path):
        work = (
            (lambda: tokens.add("phone", Role.READ, 1.0))
            if which == "tokens"
            else (lambda: ClusterFolder(tmp_path).remove("node"))
        )
        error = within(20.0, work)
    assert isinstance(error, ConfigError)
    assert f"another process has held the lock of {path} for 0.1 s" in error.what
    assert f"fuser -v {path}" in error.todo
    assert tokens.load() == ()


def test_a_lock_that_is_released_soon_is_waited_for(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    with held(tmp_path) as release:
        threading.Timer(0.1, release).start()
        assert within(20.0, lambda: tokens.add("phone", Role.READ, 1.0)) is None
    assert [token.name for token in tokens.load()] == ["phone"]
