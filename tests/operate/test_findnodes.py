"""Finding nodes by their data folders alone, on a made-up machine; running ones are found in the e2e tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from solominer.operate import findnodes
from solominer.operate.findnodes import Candidate, find_nodes


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other nodes may well run on the machine that runs the tests."""
    monkeypatch.setattr(findnodes, "_running_nodes", lambda: iter(()))


def by_network(candidates: list[Candidate]) -> dict[str, Candidate]:
    return {each.network: each for each in candidates}


def test_cookies_and_conf_show_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "signet").mkdir()
    (tmp_path / "signet" / ".cookie").write_text("__cookie__:secret")
    (tmp_path / "bitcoin.conf").write_text("regtest=1\n[regtest]\nrpcuser=u\nrpcpassword=p\nrpcport=7\n")
    found = by_network(find_nodes([tmp_path]))
    assert set(found) == {"signet", "regtest"}
    cookie = found["signet"].rpc()
    assert cookie is not None
    assert (cookie.port, cookie.cookie_file) == (38332, tmp_path / "signet" / ".cookie")
    password = found["regtest"].rpc()
    assert password is not None
    assert (password.port, password.username, password.password.get_secret_value()) == (7, "u", "p")
    assert "secret" not in repr(found)


def test_conf_names_another_folder_host_and_cookie(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "my.cookie").write_text("__cookie__:x")
    (tmp_path / "bitcoin.conf").write_text(f"datadir={other}\nrpccookiefile=my.cookie\nrpcbind=10.0.0.5:9000\n")
    (candidate,) = find_nodes([tmp_path])
    assert candidate.datadir == other
    assert candidate.host == "10.0.0.5"
    rpc = candidate.rpc()
    assert rpc is not None
    assert rpc.cookie_file == other / "my.cookie"


def test_no_way_in(tmp_path: Path) -> None:
    (tmp_path / "bitcoin.conf").write_text("server=1\n")
    (candidate,) = find_nodes([tmp_path])
    assert candidate.network == "mainnet"
    assert candidate.rpc() is None


def test_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert find_nodes([tmp_path]) == []


def test_default_folders_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ".bitcoin"
    (home / "regtest").mkdir(parents=True)
    (home / "regtest" / ".cookie").write_text("__cookie__:x")
    assert home in findnodes.likely_folders()
    assert "regtest" in by_network(find_nodes())
