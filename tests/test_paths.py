"""Paths of others and the home directory: for everything that may be there the answer is a value or a typed error."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from solominer.config import paths
from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.config.paths import (
    Presence,
    absolute,
    default_cache_dir,
    default_data_dir,
    expanded,
    home,
    presence,
    read_file,
)
from solominer.errors import ConfigError, NodeAuthFailed
from solominer.node.credentials import CookieFile, PasswordFile, default_data_folders
from solominer.setup.bitcoin_conf import read_node_conf
from solominer.setup.find_nodes import find_nodes, likely_folders

CLOSED = [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT, errno.EINTR]


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_dangling(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


MADE: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: None,
    "loop": make_loop,
    "dangling": make_dangling,
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "empty": Path.touch,
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 100),
}


def close(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int) -> None:
    """Every look at what is in `folder` fails with this error, also for root."""
    real_stat, real_open = Path.stat, os.open

    def refuse(path: object) -> None:
        if str(path).startswith(f"{folder}/"):
            raise OSError(number, os.strerror(number), str(path))

    def stat(path: Path, **options: bool) -> os.stat_result:
        refuse(path)
        return real_stat(path, **options)

    def open_(path: str, *args: int, **options: int) -> int:
        refuse(path)
        return real_open(path, *args, **options)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(os, "open", open_)


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other nodes may well run on the machine that runs the tests."""
    monkeypatch.setattr("solominer.setup.find_nodes._running_nodes", lambda problems: iter(()))


@pytest.mark.parametrize("what", MADE)
@pytest.mark.parametrize("name", [".cookie", "bitcoin.conf", "regtest/.cookie", "regtest/settings.json", "regtest"])
def test_whatever_is_in_a_data_folder_finding_nodes_does_not_fail(tmp_path: Path, name: str, what: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    MADE[what](path)
    find_nodes([tmp_path])
    with pytest.raises(NodeAuthFailed):
        CookieFile((path,)).header()
    if what != "noise":
        with pytest.raises(NodeAuthFailed):
            PasswordFile("me", path).header()


@pytest.mark.parametrize("name", ["a" * 300, "nul\0", "a/" * 3000, "\udcff"])
def test_names_that_the_system_refuses(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    presence(path)
    with pytest.raises(OSError):
        read_file(path, 10)
    with pytest.raises(NodeAuthFailed):
        CookieFile((path,)).header()
    conf, _ = read_node_conf({"conf": [str(path)]}, tmp_path, tmp_path)
    assert conf.problems


@pytest.mark.parametrize("number", CLOSED)
def test_a_closed_folder_is_named_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    folder, other = tmp_path / "closed", tmp_path / "other"
    (other / "regtest").mkdir(parents=True)
    (other / "regtest/.cookie").write_text("__cookie__:secret")
    close(monkeypatch, folder, number)
    why = os.strerror(number)
    assert presence(folder / "x") == Presence(there=False, problem=why)
    with pytest.raises(NodeAuthFailed, match=rf"cannot be read: {why}") as refused:
        CookieFile((folder / ".cookie", tmp_path / "none")).header()
    assert "rpccookieperms=group" in refused.value.todo
    assert CookieFile((folder / ".cookie", other / "regtest/.cookie")).header()  # the first that can be read is used
    found, problems = find_nodes([folder, other])
    assert [each.datadir for each in found] == [other]
    assert any(why in problem and str(folder) in problem for problem in problems)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "pipe", 10)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 10)


# --- home ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: the user id has no entry, and no variable names a folder."""

    def unknown(user_id: int) -> str:
        raise KeyError(user_id)

    monkeypatch.setattr(paths, "home_of", unknown)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "SOLOMINER_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_home")
def test_without_a_home_what_needs_one_names_the_setting(tmp_path: Path) -> None:
    assert home() is None
    with pytest.raises(ConfigError, match="no home directory") as refused:
        default_data_dir()
    assert "data_dir" in refused.value.todo
    with pytest.raises(ConfigError, match="no home directory") as refused:
        default_cache_dir()
    assert "SOLOMINER_CACHE" in refused.value.todo
    with pytest.raises(ConfigError, match="no home directory"):
        load_config(environ={}, overrides={"data_dir": "~/x"})
    assert Config(data_dir=tmp_path).records_dir == tmp_path
    assert default_data_folders() == (Path("/var/lib/bitcoind"),)
    likely_folders()


@pytest.mark.parametrize("value", ["", "relative/folder", "."])
@pytest.mark.parametrize("name", ["HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"])
@pytest.mark.usefixtures("no_home")
def test_empty_and_relative_variables_are_as_unset(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    for folder in (default_data_dir, default_cache_dir):
        with pytest.raises(ConfigError):
            folder()


def test_home_comes_from_the_variable_or_the_user_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/some/home")
    assert home() == Path("/some/home")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(paths, "home_of", lambda user_id: "/of/the/database")
    assert home() == Path("/of/the/database")
    assert expanded(Path("~/x/y"), "plan") == Path("/of/the/database/x/y")
    with pytest.raises(ConfigError, match="home directory of that user"):
        expanded(Path("~nobody-of-this-name/x"), "plan")
    assert expanded(Path(), "plan") == Path()


def test_a_removed_current_directory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "getcwd", gone)
    with pytest.raises(ConfigError, match="current directory"):
        absolute(Path("config.json"))
    assert absolute(Path("/a/b")) == Path("/a/b")
