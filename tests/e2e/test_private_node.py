"""The private node on a real bitcoind: it starts, answers, stops, survives clashes, and never outlives its starter."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from solominer.errors import NodeError, NodeTimeout, NodeUnreachable, RpcFailed
from solominer.node.private import node as private
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PortClash, PrivateNode

pytestmark = pytest.mark.e2e

SHUT_DOWN = re.compile(r"Shutdown:? done$", re.MULTILINE)  # with a colon before Bitcoin Core 31

ROOT = Path(__file__).parents[2]
END_TIMEOUT_SECS = 30


def mine(node: PrivateNode, count: int = 1) -> list[str]:
    address = node.call("decodescript", "0020" + "00" * 32)["address"]
    hashes: list[str] = node.call("generatetoaddress", count, address)
    return hashes


def listening_addresses(pid: int) -> set[str]:
    sockets = psutil.Process(pid).net_connections("inet")
    return {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}


def test_listens_on_loopback_alone(node: PrivateNode) -> None:
    assert node.call("getblockchaininfo")["chain"] == "regtest"
    assert listening_addresses(node.pid) == {"127.0.0.1"}
    assert node.cookie_file.stat().st_mode & 0o077 == 0


def test_publishes_new_tips(node: PrivateNode) -> None:
    topics = {each["type"]: each["address"] for each in node.call("getzmqnotifications")}
    assert topics == {"pubhashblock": node.zmq_hashblock, "pubsequence": node.zmq_sequence}
    with zmq.Context() as context, context.socket(zmq.SUB) as socket_, socket_.get_monitor_socket() as monitor:
        socket_.setsockopt(zmq.SUBSCRIBE, b"hashblock")
        socket_.connect(node.zmq_hashblock)
        while int.from_bytes(monitor.recv_multipart()[0][:2], sys.byteorder) != zmq.EVENT_HANDSHAKE_SUCCEEDED:
            pass
        # A subscription travels behind the handshake: mine until it has arrived.
        hashes = [*mine(node)]
        while not socket_.poll(100):
            hashes += mine(node)
        assert socket_.recv_multipart()[1].hex() in hashes
        socket_.disable_monitor()


def test_stop_leaves_only_the_data(node: PrivateNode) -> None:
    pid = node.pid
    node.stop()
    assert not psutil.pid_exists(pid)
    assert not node.is_running()
    assert not node.cookie_file.exists()
    with pytest.raises(NodeUnreachable, match="is not running"):
        node.call("getblockcount")
    with pytest.raises(NodeUnreachable, match="is not running"):
        _ = node.pid
    node.stop()


def test_restart_keeps_ports_and_chain(node: PrivateNode) -> None:
    mine(node, 3)
    before = (node.rpc_port, node.p2p_port, node.zmq_hashblock, node.zmq_sequence)
    node.restart()
    assert (node.rpc_port, node.p2p_port, node.zmq_hashblock, node.zmq_sequence) == before
    assert node.call("getblockcount") == 3


def test_starts_again_after_a_kill(node: PrivateNode) -> None:
    pid, old_cookie = node.pid, node.cookie_file.read_bytes()
    node.kill()
    assert not psutil.pid_exists(pid)
    assert node.cookie_file.read_bytes() == old_cookie
    node.start()
    assert node.pid != pid
    assert node.call("getblockcount") == 0


def test_start_while_running_changes_nothing(node: PrivateNode) -> None:
    pid = node.pid
    node.start()
    assert node.pid == pid


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_ends_with_its_starter(bitcoind_binary: BitcoindBinary, tmp_path: Path, end: signal.Signals) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from solominer.node.private.bitcoind import BitcoindBinary\n"
        "from solominer.node.private.node import PrivateNode\n"
        f"node = PrivateNode({bitcoind_binary!r}, Path({str(tmp_path)!r}))\n"
        "node.start()\n"
        "print(node.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as starter:
        assert starter.stdout is not None
        node = psutil.Process(int(starter.stdout.readline()))
        guard = node.parent()
        assert guard is not None
        assert guard.pid != starter.pid
        starter.send_signal(end)
        starter.wait(END_TIMEOUT_SECS)
        node.wait(END_TIMEOUT_SECS)
        guard.wait(END_TIMEOUT_SECS)
    assert not psutil.pid_exists(node.pid)
    assert not (tmp_path / "regtest/bitcoind.pid").exists()  # it ended cleanly
    assert SHUT_DOWN.search((tmp_path / "regtest/debug.log").read_text())


def test_a_signal_to_our_terminal_is_not_for_the_node(node: PrivateNode) -> None:
    assert os.getpgid(node.pid) != os.getpgid(0)
    assert os.getsid(node.pid) != os.getsid(0)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((private.LOOPBACK[0], 0)) as held:
        yield held.getsockname()[1]


@pytest.mark.parametrize("which", ["rpc", "p2p", "zmq_hashblock", "zmq_sequence"])
def test_a_port_clash_is_tried_again(
    bitcoind_binary: BitcoindBinary, tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    free = private._free_ports
    taken: dict[str, Any] = {which: taken_port}
    offers = [replace(free(), **taken), free()]
    monkeypatch.setattr(private, "_free_ports", lambda: offers.pop(0))
    with PrivateNode(bitcoind_binary, tmp_path) as node:
        assert offers == []
        assert node.rpc_port != taken_port
        assert len(node.call("getzmqnotifications")) == 2


def test_no_free_port_is_an_error(
    bitcoind_binary: BitcoindBinary, tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = private._free_ports
    monkeypatch.setattr(private, "_free_ports", lambda: replace(free(), rpc=taken_port))
    node = PrivateNode(bitcoind_binary, tmp_path)
    with pytest.raises(PortClash, match="is taken"):
        node.start()
    assert not node.is_running()


def test_a_refused_argument_is_told_in_the_nodes_words(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    node = PrivateNode(bitcoind_binary, tmp_path, extra_args=["-nosuchthing=1"])
    with pytest.raises(NodeError, match="nosuchthing"):
        node.start()
    assert not node.is_running()


def test_a_data_folder_in_use_is_told_and_its_owner_left_alone(
    bitcoind_binary: BitcoindBinary, node: PrivateNode
) -> None:
    with pytest.raises(NodeError, match="lock"):
        PrivateNode(bitcoind_binary, node.datadir).start()
    assert node.call("getblockcount") == 0


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="cannot start /nowhere/bitcoind"):
        PrivateNode(BitcoindBinary(("/nowhere/bitcoind",), "0", "test"), tmp_path).start()


def test_a_program_that_never_answers_is_ended(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)
    node = PrivateNode(BitcoindBinary((str(silent),), "0", "test"), tmp_path)
    with pytest.raises(NodeTimeout, match="did not answer in time"):
        node.start(timeout_secs=0.1)
    assert not node.is_running()


def test_a_program_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text(
        f"#!{sys.executable}\nimport signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.pause()\n"
    )
    deaf.chmod(0o755)
    monkeypatch.setattr(private, "_STOP_TIMEOUT_SECS", 0.5)
    node = PrivateNode(BitcoindBinary((str(deaf),), "0", "test"), tmp_path)
    with pytest.raises(NodeTimeout):
        node.start(timeout_secs=0.5)
    assert not node.is_running()


def test_a_custom_signet(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    with PrivateNode(bitcoind_binary, tmp_path, chain="signet", extra_args=["-signetchallenge=51"]) as node:
        info = node.call("getblockchaininfo")
        assert info["chain"] == "signet"
        assert node.call("getpeerinfo") == []
        assert node.cookie_file.exists()


def test_two_nodes_meet_through_connect_to(bitcoind_binary: BitcoindBinary, tmp_path: Path, node: PrivateNode) -> None:
    [tip] = mine(node)
    with PrivateNode(bitcoind_binary, tmp_path / "other", connect_to=[f"127.0.0.1:{node.p2p_port}"]) as other:
        assert other.call("waitforblock", tip, 20_000)["hash"] == tip


def test_errors_of_the_node_carry_its_code(node: PrivateNode) -> None:
    with pytest.raises(RpcFailed, match="Block height out of range") as raised:
        node.call("getblockhash", 99)
    assert raised.value.code == -8
    with pytest.raises(RpcFailed, match="out of range"):
        node.batch("getblockhash", [[0], [99]])
    assert node.batch("getblockhash", [[0], [0]]) == [node.call("getbestblockhash")] * 2


def test_calls_from_several_threads(node: PrivateNode) -> None:
    heights: list[int] = []
    threads = [threading.Thread(target=lambda: heights.append(node.call("getblockcount"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heights == [0] * 16


def test_log_tail_ends_with_the_last_line(node: PrivateNode) -> None:
    node.stop()
    assert SHUT_DOWN.search(node.log_tail(1))
