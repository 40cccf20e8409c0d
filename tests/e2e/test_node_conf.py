"""bitcoin.conf is read as a real node reads it: where the node listens, and how it lets us in, is what is found.

Each row is a file with which the node runs, or which it refuses. `@P@`, `@Q@` are free ports, `@D@` is its data folder.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from solominer.node.private.bitcoind import BitcoindBinary
from solominer.setup.bitcoin_conf import NodeConf, parse_command_line, read_node_conf
from solominer.setup.find_nodes import find_nodes
from solominer.setup.init import config_values, probe, write_config
from tests.ports import free_ports, has_ipv6

pytestmark = pytest.mark.e2e

START_SECS = 30.0
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}

RUNS = {
    "port of the section": "regtest=1\n[regtest]\nrpcport=@P@\n",
    "port with a prefix, the first one": "chain=regtest\nregtest.rpcport=@P@\n[regtest]\nrpcport=@Q@\n",
    "port outside of the section": "regtest=1\nrpcport=1\nregtest.rpcport=@P@\n",
    "rpcbind without rpcallowip": "regtest=1\n[regtest]\nrpcbind=127.0.0.1:@Q@\nrpcport=@P@\n",
    "rpcbind with a port": "regtest=1\nrpcallowip=127.0.0.1\n[regtest]\nrpcbind=127.0.0.1:@P@\n",
    "rpcbind without a port": "regtest=1\n[regtest]\nrpcallowip=127.0.0.1\nrpcbind=127.0.0.1\nrpcport=@P@\n",
    "rpcbind with IPv6": "regtest=1\n[regtest]\nrpcallowip=::1\nrpcbind=[::1]:@P@\n",
    "rpcbind with bare IPv6": "regtest=1\n[regtest]\nrpcallowip=::1\nrpcbind=::1\nrpcport=@P@\n",
    "rpcbind to two": "regtest=1\n[regtest]\nrpcallowip=::1\nrpcbind=[::1]:@P@\nrpcbind=127.0.0.1:@Q@\n",
    "rpcbind to all": "regtest=1\n[regtest]\nrpcallowip=127.0.0.1\nrpcbind=0.0.0.0:@P@\n",
    "password alone": "regtest=1\n[regtest]\nrpcport=@P@\nrpcpassword=abc123\n",
    "user and password": "regtest=1\nrpcuser=first\nrpcuser=second\nrpcpassword = p=w \n[regtest]\nrpcport=@P@\n",
    "empty password": "regtest=1\nrpcuser=u\nrpcpassword=\n[regtest]\nrpcport=@P@\n",
    "negated password": "regtest=1\nrpcuser=u\nrpcpassword=x\nnorpcpassword=0\n[regtest]\nrpcport=@P@\n",
    "cookie elsewhere": "regtest=1\nrpccookiefile=@D@/other\n[regtest]\nrpcport=@P@\n",
    "cookie with another name": "regtest=1\nrpccookiefile=other\n[regtest]\nrpcport=@P@\n",
    "last network flag": "regtest=0\nregtest=1\n[regtest]\nrpcport=@P@\n[signet]\nrpcport=1\n",
    "space and comments": "\t regtest = 1 # that one\r\n [regtest] # here\r\n rpcport\t=\t@P@\t#x\r\n",
    "include": "regtest=1\nincludeconf=more.conf\nregtest.includeconf=@D@/net.conf\n",
}
MORE = {"more.conf": "regtest.rpcport=@Q@\nrpcuser=u\n", "net.conf": "[regtest]\nrpcport=@P@\nrpcpassword=included\n"}
REFUSED = {
    "sharp in the password": "regtest=1\nrpcpassword=a#b\n",
    "dash": "-regtest=1\n",
    "no setting": "regtest\n",
    "conf": "regtest=1\nconf=other.conf\n",
    "missing include": "regtest=1\nincludeconf=gone.conf\n",
    "a folder": "",
    "rpcport outside of the section": "regtest=1\nrpcport=19999\n",
}


@pytest.fixture
def ports() -> dict[str, str]:
    """Two free ports, and whatever else is put into the files."""
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    return dict(zip(("@P@", "@Q@"), map(str, free_ports(2)), strict=True))


def write(folder: Path, name: str, text: str, filled: dict[str, str]) -> None:
    for mark, value in {**filled, "@D@": str(folder)}.items():
        text = text.replace(mark, value)
    (folder / name).write_text(text, newline="")


@contextmanager
def started(binary: BitcoindBinary, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node on the folder; it ends with the block."""
    command = [*binary.argv, f"-datadir={folder}", "-listen=0", "-printtoconsole=0", "-dnsseed=0", *arguments]
    node = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield node
    finally:
        node.terminate()
        node.wait(START_SECS)


def listening(node: subprocess.Popen[bytes]) -> set[tuple[str, int]]:
    """Where it takes connections, once it has logged that it is done with loading."""
    connections = psutil.Process(node.pid).net_connections("tcp")
    at = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN]
    return {(ANY_HOST.get(each.ip, each.ip), each.port) for each in at}


@pytest.mark.parametrize("name", RUNS)
def test_the_node_is_found_where_it_listens(
    name: str, bitcoind_binary: BitcoindBinary, ports: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    write(folder, "bitcoin.conf", RUNS[name], ports)
    for file, text in MORE.items():
        write(folder, file, text, ports)
    with started(bitcoind_binary, folder) as node:
        deadline = time.monotonic() + START_SECS
        while True:
            found, problems = find_nodes([folder])
            tried = [probe(candidate) for candidate in found]
            if (working := [each for each in tried if not each.problem]) or time.monotonic() > deadline:
                break
            assert node.poll() is None, "the node did not start"
        assert problems == []
        (works,) = working
        assert works.network == "regtest"
        (candidate,) = [each for each in found if each.network == "regtest"]
        assert set(candidate.addresses) == listening(node)
        config = write_config(tmp_path / "config.json", config_values(working, "", tmp_path / "data"))
        assert config.bitcoin_rpc is not None
        assert config.bitcoin_rpc.port == works.rpc.port


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_node_refuses_is_reported(name: str, bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    if name == "a folder":
        (tmp_path / "bitcoin.conf").mkdir()
    else:
        (tmp_path / "bitcoin.conf").write_text(REFUSED[name])
    with started(bitcoind_binary, tmp_path) as node:
        assert node.wait(START_SECS) != 0
    assert find_nodes([tmp_path])[1]


def test_arguments_of_a_running_node_come_before_its_files(
    bitcoind_binary: BitcoindBinary, ports: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path, "other.conf", "signet=1\nrpcuser=u\nrpcpassword=p\n[regtest]\nrpcport=@Q@\n", ports)
    arguments = [
        "-conf=other.conf",
        "-signet=0",
        "-regtest",
        f"-rpcport={ports['@P@']}",
        "-norpcpassword",
        "-norpcuser",
    ]
    arguments[-2:] = ["-rpcpassword=x", "-rpcpassword=y"]
    with started(bitcoind_binary, tmp_path, *arguments) as node:
        deadline = time.monotonic() + START_SECS
        works = False
        while not works and time.monotonic() < deadline:
            assert node.poll() is None, "the node did not start"
            found, _ = find_nodes([tmp_path])
            works = any(candidate.running and not probe(candidate).problem for candidate in found)
        assert works
    conf, datadir = read_node_conf(parse_command_line([f"-datadir={tmp_path}", *arguments]), Path("/"), Path("/"))
    assert (conf.network, datadir, isinstance(conf, NodeConf)) == ("regtest", tmp_path, True)
