"""Finding nodes by their data folders alone, on a made-up machine; running ones are found in the e2e tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from solominer.setup import find_nodes as find_nodes_module
from solominer.setup.find_nodes import NodeCandidate, find_nodes

RUNNING = find_nodes_module._running_nodes


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other nodes may well run on the machine that runs the tests."""
    monkeypatch.setattr(find_nodes_module, "_running_nodes", lambda problems: iter(()))


def by_network(candidates: list[NodeCandidate]) -> dict[str, NodeCandidate]:
    return {each.network: each for each in candidates}


def test_cookies_and_conf_show_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "signet").mkdir()
    (tmp_path / "signet" / ".cookie").write_text("__cookie__:secret")
    (tmp_path / "bitcoin.conf").write_text("regtest=1\n[regtest]\nrpcuser=u\nrpcpassword=p\nrpcport=7\n")
    found = by_network(find_nodes([tmp_path])[0])
    assert set(found) == {"signet", "regtest"}
    (cookie,) = found["signet"].logins
    assert (found["signet"].port, cookie.cookie_file) == (38332, tmp_path / "signet" / ".cookie")
    (login,) = found["regtest"].logins
    password = found["regtest"].rpc("127.0.0.1", found["regtest"].port, login)
    assert password is not None
    assert (password.port, password.username, password.password.get_secret_value()) == (7, "u", "p")
    assert "secret" not in repr(found)
    assert "rpcpassword" not in repr(login)


def test_conf_names_another_folder_host_and_cookie(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "my.cookie").write_text("__cookie__:x")
    (tmp_path / "bitcoin.conf").write_text(
        f"datadir={other}\nrpccookiefile=my.cookie\nrpcbind=10.0.0.5:9000\nrpcallowip=10.0.0.0/24\n"
    )
    ((candidate,), _) = find_nodes([tmp_path])
    assert candidate.datadir == other
    assert candidate.addresses == [("10.0.0.5", 9000)]
    assert [login.cookie_file for login in candidate.logins] == [other / "my.cookie"]


def test_no_way_in(tmp_path: Path) -> None:
    (tmp_path / "bitcoin.conf").write_text("server=1\n")
    ((candidate,), _) = find_nodes([tmp_path])
    assert candidate.network == "mainnet"
    assert candidate.logins == []


@pytest.mark.parametrize(
    ("conf", "cookie", "logins"),
    [
        ("rpcpassword=p", False, [("", "p", False)]),  # the node takes an empty user name
        ("rpcuser=u\nrpcpassword=p", True, [("u", "p", False), ("", "", True)]),
        ("rpcuser=u\nrpcpassword=", True, [("", "", True)]),
        ("norpccookiefile=1", True, []),
        ("rpcauth=u:salt$hash\nrpcauth=v:salt$hash", True, [("", "", True)]),
        ("rpcuser=u", True, [("", "", True)]),
    ],
)
def test_every_way_in(tmp_path: Path, conf: str, cookie: bool, logins: list[tuple[str, str, bool]]) -> None:
    (tmp_path / "bitcoin.conf").write_text(f"server=1\n{conf}\n")
    if cookie:
        (tmp_path / ".cookie").write_text("__cookie__:x")
    ((candidate,), _) = find_nodes([tmp_path])
    found = [
        (each.username, each.password.get_secret_value() if each.password else "", each.cookie_file is not None)
        for each in candidate.logins
    ]
    assert found == logins
    assert all(candidate.rpc("::1", 1, login) is not None for login in candidate.logins)
    assert candidate.users == (["u", "v"] if "rpcauth" in conf else [])


class Process:
    """A process of another user, of which the system shows the arguments alone."""

    pid = 7

    def __init__(self, *arguments: str) -> None:
        self.arguments = ["/usr/bin/bitcoind", *arguments]

    def cmdline(self) -> list[str]:
        return self.arguments

    def cwd(self) -> str:
        raise psutil.AccessDenied(self.pid)

    environ = cwd

    def uids(self) -> SimpleNamespace:
        return SimpleNamespace(real=4242)


def test_running_node_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its data folder is the one of its own user, and it is found although its working directory is not shown."""
    monkeypatch.setattr(find_nodes_module, "_running_nodes", RUNNING)
    monkeypatch.setattr(find_nodes_module, "home_of", lambda user_id: f"{tmp_path}/{user_id}")
    data = tmp_path / "data"
    processes = [Process("-regtest"), Process(f"-datadir={data}", "-signet"), Process("-datadir=relative", "-testnet4")]
    monkeypatch.setattr(psutil, "process_iter", lambda: processes)
    monkeypatch.setattr(find_nodes_module, "likely_folders", list)
    found, problems = find_nodes()
    running = {each.network: each.datadir for each in found}
    assert running["regtest"] == tmp_path / "4242/.bitcoin"
    assert running["signet"] == data
    assert any("--datadir" in problem and "process id 7" in problem for problem in problems)


def test_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert find_nodes([tmp_path]) == ([], [])


def test_default_folders_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ".bitcoin"
    (home / "regtest").mkdir(parents=True)
    (home / "regtest" / ".cookie").write_text("__cookie__:x")
    assert home in find_nodes_module.likely_folders()
    assert "regtest" in by_network(find_nodes()[0])
