"""`solominer init` beside running nodes: what it writes is a config with which `run` mines and the doctor is content.

Cookie; user and password; a folder that is not the default one; two nodes; a node named by hand.
"""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from solominer.cli import app
from solominer.config.load import load_config
from solominer.daemon.daemon import run
from solominer.daemon.every_run import RunOptions
from solominer.daemon.nodes import configured_nodes
from solominer.doctor.check import Status
from solominer.doctor.examination import examine_node
from solominer.errors import ConfigError, PayoutError
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from solominer.setup.dialog import Answers, set_up
from solominer.views.logs import RecentEvents
from tests.ports import has_ipv6

pytestmark = pytest.mark.e2e

SECRET = "p#ssword of the test"


def init(folder: Path, *arguments: str) -> Result:
    config = folder / "config.json"
    return CliRunner().invoke(
        app, ["init", "--yes", "--config", str(config), "--data-dir", str(folder / "records"), *arguments]
    )


def written(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    assert path.stat().st_mode & 0o777 == 0o600
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def mines(folder: Path, *nodes: PrivateNode) -> None:
    """`run` with the config finds two blocks that every node has, and the doctor finds nothing wrong before it."""
    config = load_config(folder / "config.json", environ={})
    for settings in configured_nodes(config):
        findings = list(examine_node(settings, config, 0.0))
        amiss = [finding for finding in findings if finding.status is not Status.OK]
        # A node built from a development branch warns of that itself, and the doctor repeats it.
        assert not [finding for finding in amiss if "pre-release" not in finding.evidence], findings
    before = nodes[0].call("getblockcount")
    assert run(config, RunOptions(blocks=2, secs=60), RecentEvents()) == 0
    for node in nodes:
        assert node.call("getblockcount") == before + 2


def test_cookie_in_a_folder_of_its_own(node: PrivateNode, tmp_path: Path) -> None:
    result = init(tmp_path, "--datadir", str(node.datadir))
    assert result.exit_code == 0, result.output
    values = written(tmp_path)
    assert values["mode"] == "regtest"
    assert values["bitcoin_rpc"]["cookie_file"] == str(node.cookie_file)
    assert values["zmq"] == {"hashblock": node.zmq_hashblock, "sequence": node.zmq_sequence}
    assert "zmqpubhashblock" not in result.output  # nothing about it is missing
    mines(tmp_path, node)


def test_user_and_password_of_bitcoin_conf(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    password = SECRET.replace("#", "-")  # the node itself refuses this sign in its file
    (folder / "bitcoin.conf").write_text(f"[regtest]\nrpcuser=miner\nrpcpassword={password}\n")
    (folder / "regtest").mkdir()
    (folder / "regtest" / ".cookie").write_text(f"miner:{password}")  # for the test's own calls; the node writes none
    with PrivateNode(bitcoind_binary, folder) as node:
        node.cookie_file.rename(folder / "elsewhere")
        result = init(tmp_path, "--datadir", str(folder))
        (folder / "elsewhere").rename(node.cookie_file)
        assert result.exit_code == 0, result.output
        assert password not in result.output
        rpc = written(tmp_path)["bitcoin_rpc"]
        assert (rpc["username"], rpc["password"]) == ("miner", password)
        mines(tmp_path, node)


def test_two_nodes_both_get_the_blocks(node: PrivateNode, bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    with PrivateNode(bitcoind_binary, tmp_path / "other", connect_to=[f"127.0.0.1:{node.p2p_port}"]) as other:
        result = init(tmp_path, "--datadir", str(node.datadir), "--datadir", str(other.datadir))
        assert result.exit_code == 0, result.output
        values = written(tmp_path)
        ports = {values["bitcoin_rpc"]["port"], *(each["port"] for each in values["more_nodes"])}
        assert ports == {node.rpc_port, other.rpc_port}
        mines(tmp_path, node, other)


def test_node_named_by_hand_with_missing_zmq(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    """rpcauth and a password file, as on a machine of its own; the lines that are missing are printed with reasons."""
    rpcauth = (  # of user `miner` with the password `SECRET`, as Bitcoin Core's share/rpcauth makes it
        "miner:00112233445566778899aabbccddeeff$" + _hmac("00112233445566778899aabbccddeeff", SECRET)
    )
    password_file = tmp_path / "password"
    password_file.write_text(SECRET + "\n")
    arguments = [f"-rpcauth={rpcauth}", "-nozmqpubhashblock", "-nozmqpubsequence", "-zmqpubrawtx=tcp://127.0.0.1:0"]
    with PrivateNode(bitcoind_binary, tmp_path / "node", extra_args=arguments) as node:
        where = f"127.0.0.1:{node.rpc_port}"
        result = init(tmp_path, "--rpc", where, "--username", "miner", "--password-file", str(password_file))
        assert result.exit_code == 0, result.output
        assert "zmqpubhashblock=tcp://127.0.0.1:28332" in result.output
        assert "milliseconds" in result.output
        config = load_config(tmp_path / "config.json", environ={})
        assert run(config, RunOptions(blocks=1, secs=60), RecentEvents()) == 0
        assert node.call("getblockcount") == 1


def test_password_of_an_rpcauth_user_is_asked_for(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    salt, asked = "00112233445566778899aabbccddeeff", list[str]()
    with PrivateNode(bitcoind_binary, tmp_path / "node") as node:
        line = f"rpcauth=miner:{salt}${_hmac(salt, SECRET)}\n"
        (node.datadir / "bitcoin.conf").write_text(line)
        node.restart()
        node.cookie_file.rename(tmp_path / "elsewhere")

        def ask_secret(question: str) -> str:
            asked.append(question)
            return SECRET

        path, answers = tmp_path / "config.json", Answers(datadirs=(node.datadir,), data_dir=tmp_path / "records")
        set_up(path, answers, ask=lambda question, default: default, ask_secret=ask_secret, say=print)
        (tmp_path / "elsewhere").rename(node.cookie_file)
        assert ["'miner'" in question for question in asked] == [True]
        rpc = written(tmp_path)["bitcoin_rpc"]
        assert (rpc["username"], rpc["password"]) == ("miner", SECRET)
        mines(tmp_path, node)


def test_machine_without_ipv4(bitcoind_binary: BitcoindBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private node listens on ::1 there, RPC and ZMQ; init writes both and a run hears each tip by ZMQ."""
    real = socket.create_server

    def no_ipv4(address: tuple[str, int], **options: Any) -> socket.socket:
        if ":" not in address[0]:
            raise OSError(errno.EADDRNOTAVAIL, "no IPv4")
        return real(address, **options)

    monkeypatch.setattr(socket, "create_server", no_ipv4)
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with PrivateNode(bitcoind_binary, tmp_path / "node") as node:
        assert node.rpc_host == "::1"
        result = init(tmp_path, "--datadir", str(node.datadir))
        assert result.exit_code == 0, result.output
        values = written(tmp_path)
        assert values["bitcoin_rpc"]["host"] == "::1"
        assert values["zmq"] == {"hashblock": node.zmq_hashblock, "sequence": node.zmq_sequence}
        assert node.zmq_hashblock.startswith("tcp://[::1]:")
        mines(tmp_path, node)


def test_existing_file_is_kept_unless_told(node: PrivateNode, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    result = init(tmp_path, "--datadir", str(node.datadir))
    assert isinstance(result.exception, ConfigError)
    assert (tmp_path / "config.json").read_text() == "{}"
    assert init(tmp_path, "--datadir", str(node.datadir), "--force").exit_code == 0
    assert written(tmp_path)["mode"] == "regtest"


def test_what_cannot_be_used_is_refused(node: PrivateNode, tmp_path: Path) -> None:
    wrong = init(
        tmp_path, "--datadir", str(node.datadir), "--payout-address", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"
    )
    assert isinstance(wrong.exception, PayoutError)
    assert isinstance(init(tmp_path, "--datadir", str(tmp_path / "nothing")).exception, ConfigError)
    assert isinstance(init(tmp_path, "--rpc", "nonsense").exception, ConfigError)
    other = init(tmp_path, "--datadir", str(node.datadir), "--network", "signet")
    assert "no node on signet" in str(other.exception)
    node.stop()
    gone = init(tmp_path, "--rpc", "127.0.0.1:9", "--cookie-file", str(tmp_path / "c"))
    assert gone.exit_code != 0
    assert not (tmp_path / "config.json").exists()


def _hmac(salt: str, password: str) -> str:
    import hashlib
    import hmac

    return hmac.new(salt.encode(), password.encode(), hashlib.sha256).hexdigest()
