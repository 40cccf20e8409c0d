"""The doctor: all green on a healthy node and machine, and each deliberate fault turns exactly the right check red.

The node is a fake; the machine is the real one with one property changed.
"""

from __future__ import annotations

import errno
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from typer.testing import CliRunner

from solominer.chain.networks import MAINNET
from solominer.cli import app
from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.config.paths import default_cache_dir
from solominer.daemon.nodes import configured_nodes
from solominer.doctor import examination as doctor
from solominer.doctor import kernel_check as kernelcheck
from solominer.doctor import machine_checks as machine
from solominer.doctor.check import Check, Finding, Status, document, failed, line, ok, run_checks
from solominer.engines.cpu.kernel import load_kernel
from tests.node.fake_node import Raw, Reply, Silence, error
from tests.operate.conftest import ADDRESS, HealthyNode

P2A = "51024e73"
P2PKH = "76a914728d4cc27d19707b0197cfcd7c412d43287864b588ac"


def config_for(node: HealthyNode, folder: Path, **more: Any) -> dict[str, Any]:
    """A config.json for mining with this node."""
    by_type = {each["type"]: each["address"] for each in node.answers["getzmqnotifications"]}
    return {
        "mode": "production",
        "bitcoin_rpc": {"port": node.port, "username": "me", "password": "a secret", "timeout_secs": 2},
        "zmq": {"hashblock": by_type["pubhashblock"], "sequence": by_type["pubsequence"]},
        "payout_address": ADDRESS,
        "data_dir": str(folder / "data"),
        **more,
    }


def examine_node(values: dict[str, Any]) -> list[Finding]:
    config = load_config(environ={}, overrides=values)
    (settings,) = configured_nodes(config)
    return list(doctor.examine_node(settings, config, 0.01))


def red(findings: list[Finding]) -> list[str]:
    return [finding.check for finding in findings if finding.status is Status.FAILED]


def one_thread(node: HealthyNode) -> None:
    """Let a held call keep every other one waiting (rpcthreads=1)."""
    thread, best_hex = threading.Lock(), node.answers["getbestblockhash"]

    def waits(timeout_ms: int) -> dict[str, Any]:
        with thread:
            time.sleep(timeout_ms / 1000)
        return {"hash": best_hex, "height": 1}

    def passes() -> Any:
        with thread:
            return best_hex

    node.answers |= {"waitfornewblock": waits, "getbestblockhash": passes}


def queue_full(node: HealthyNode) -> None:
    """Refuse the first call that comes beside a held one, as with rpcworkqueue=1."""
    best_hex, held = node.answers["getbestblockhash"], threading.Event()

    def waits(timeout_ms: int) -> dict[str, Any]:
        held.set()
        return {"hash": best_hex, "height": 1}

    def refused_once() -> Any:
        if held.is_set():
            held.clear()
            return Reply(503, b"Work queue depth exceeded")
        return best_hex

    node.answers |= {"waitfornewblock": waits, "getbestblockhash": refused_once}


def test_healthy_node_is_all_green(healthy: HealthyNode, tmp_path: Path) -> None:
    findings = examine_node(config_for(healthy, tmp_path))
    assert {finding.status for finding in findings} == {Status.OK}, findings
    assert len(findings) == 21


def test_every_payee_of_a_split_is_checked(healthy: HealthyNode, tmp_path: Path) -> None:
    other = "1BShJZ8A5q53oJJfMJoEF1gfZCWdZqZwwD"
    scripts = {ADDRESS: healthy.answers["validateaddress"], other: {"isvalid": True, "scriptPubKey": P2PKH}}
    healthy.answers["validateaddress"] = lambda address: scripts[address]
    config = config_for(healthy, tmp_path, payout_split=[{"address": other, "basis_points": 150}])
    findings = examine_node(config)
    assert red(findings) == []
    said = {finding.check: finding.evidence for finding in findings}
    assert f"{ADDRESS} 98.5 %, {other} 1.5 %" in said["payout address"]
    assert f"{other} 1.5 %" in said["job"]
    scripts[other] = {"isvalid": True, "scriptPubKey": P2A}
    assert red(examine_node(config)) == ["payout address"]


# --- faults of the node ----------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    """One thing to break: `break_` changes the node or the config; `red` is the check, `says` part of its advice."""

    name: str
    red: str
    says: str
    break_: Callable[[HealthyNode, dict[str, Any]], object]


def answers(method: str, **changes: Any) -> Callable[[HealthyNode, dict[str, Any]], object]:
    """Change fields of one answer."""
    return lambda node, config: node.answers[method].update(changes)


def replies(method: str, answer: Any) -> Callable[[HealthyNode, dict[str, Any]], object]:
    """Change one answer altogether."""
    return lambda node, config: node.answers.__setitem__(method, answer)


def everything(step: Any) -> Callable[[HealthyNode, dict[str, Any]], object]:
    """Whatever is asked, the node does the same."""

    def change(node: HealthyNode, config: dict[str, Any]) -> None:
        for method in node.answers:
            node.answers[method] = step
        node.without_login = step

    return change


def setting(section: str, **changes: Any) -> Callable[[HealthyNode, dict[str, Any]], object]:
    """Change the configuration."""
    return lambda node, config: config[section].update(changes)


def swap_topics(node: HealthyNode, config: dict[str, Any]) -> None:
    zmq = config["zmq"]
    zmq["hashblock"] = zmq["sequence"]


def dead_publisher(node: HealthyNode, config: dict[str, Any]) -> None:
    address = "tcp://127.0.0.1:9"
    config["zmq"]["sequence"] = node.answers["getzmqnotifications"][1]["address"] = address


def only_hashblock(node: HealthyNode, config: dict[str, Any]) -> None:
    del node.answers["getzmqnotifications"][1]


def clock(secs: float) -> Callable[[HealthyNode, dict[str, Any]], object]:
    return lambda node, config: setattr(node, "clock_ahead_secs", secs)


def template(**changes: Any) -> Callable[[HealthyNode, dict[str, Any]], object]:
    return lambda node, config: node.template.update(changes)


def deployment(node: HealthyNode, config: dict[str, Any]) -> None:
    node.answers["getdeploymentinfo"]["deployments"]["newfork"] = {"type": "buried", "active": True, "height": 1}


def script(script_hex: str) -> Callable[[HealthyNode, dict[str, Any]], object]:
    return answers("validateaddress", scriptPubKey=script_hex)


FAULTS = (
    Fault("port where nobody listens", "reachable", "bitcoin_rpc.port", setting("bitcoin_rpc", port=9)),
    Fault("wrong password", "credentials", "rpcauth", everything(Reply(401))),
    Fault("address not allowed", "credentials", "rpcallowip", everything(Reply(403))),
    Fault(
        "no cookie",
        "credentials",
        "cookie_file",
        setting("bitcoin_rpc", username="", password="", cookie_file="/nonexistent/.cookie"),
    ),
    Fault("P2P port", "answers", "is it the P2P port", everything(Raw(b"\x9c\x1b[31m\n\x00"))),
    Fault("something else than a node", "answers", "a node's RPC", everything(Reply(200, b"<html>hello</html>"))),
    Fault("node that is starting", "answers", "has started", everything(error(-28, "Loading block index"))),
    Fault("node that hangs", "answers", "debug.log", everything(Silence())),
    Fault("overloaded node", "answers", "rpcworkqueue", everything(Reply(503, b"Work queue depth exceeded"))),
    Fault("wrong network", "network", "correct mode or network", answers("getblockchaininfo", chain="test")),
    Fault("another coin", "network", "another coin", replies("getblockhash", "11" * 32)),
    Fault("initial download", "synced", "is synced", answers("getblockchaininfo", initialblockdownload=True)),
    Fault("node that lags", "synced", "is synced", answers("getblockchaininfo", headers=999_999)),
    Fault("no peers", "peers", "network connection", answers("getnetworkinfo", connections=0)),
    Fault("clock behind", "clock", "NTP", clock(-3600)),
    Fault("clock ahead", "clock", "NTP", clock(3600)),
    Fault("clock off its peers'", "clock", "NTP", answers("getnetworkinfo", timeoffset=4000)),
    Fault("unknown fork in force", "consensus rules", "Bitcoin Core", deployment),
    Fault("node without ZMQ", "zmq hashblock", "zmqpubhashblock=", replies("getzmqnotifications", error(-32601))),
    Fault("ZMQ at another port", "zmq hashblock", "set zmq.hashblock", swap_topics),
    Fault("sequence not published", "zmq sequence", "zmqpubsequence=", only_hashblock),
    Fault("ZMQ behind a firewall", "zmq sequence", "firewalls", dead_publisher),
    Fault(
        "address of another network",
        "payout address",
        "mainnet address",
        replies("validateaddress", {"isvalid": False, "error": "Invalid prefix for Bech32 address"}),
    ),
    Fault("anyone can spend the payout", "payout address", "your own wallet", script(P2A)),
    Fault("payout of a future witness version", "payout address", "your own wallet", script("5220" + "00" * 32)),
    Fault("template of unknown rules", "template", "the node's version", template(rules=["!newfork", "segwit"])),
    Fault("template with a wrong sum", "template", "the node's version", template(coinbasevalue=1)),
    Fault("no template for this user", "template", "rpcwhitelist", replies("getblocktemplate", Reply(403))),
    Fault(
        "our block would be invalid",
        "proposal",
        "do not mine",
        lambda node, c: setattr(node, "proposal", "bad-cb-amount"),
    ),
    Fault(
        "the node's clock was set back", "proposal", "NTP", lambda node, c: setattr(node, "proposal", "time-too-new")
    ),
    Fault("submission not allowed", "submission", "rpcwhitelist", replies("submitblock", Reply(403))),
    Fault("a proxy that swallows blocks", "submission", "proxy", replies("submitblock", "duplicate")),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_turns_exactly_the_right_check_red(fault: Fault, healthy: HealthyNode, tmp_path: Path) -> None:
    config = config_for(healthy, tmp_path)
    fault.break_(healthy, config)
    findings = examine_node(config)
    reds = red(findings)
    if fault.name == "node without ZMQ":  # both of its topics
        assert reds == ["zmq hashblock", "zmq sequence"]
    else:
        assert reds == [fault.red], findings
    (found, *_) = (finding for finding in findings if finding.check == fault.red)
    assert fault.says in found.todo, found
    assert "a secret" not in str(document(findings))


def test_zmq_left_out_is_a_warning_with_the_line_to_add(healthy: HealthyNode, tmp_path: Path) -> None:
    findings = examine_node(config_for(healthy, tmp_path, zmq={}))
    by_name = {finding.check: finding for finding in findings}
    assert by_name["zmq hashblock"].status is Status.WARNING
    assert "zmqpubhashblock=tcp://" in by_name["zmq hashblock"].todo
    assert red(findings) == []


@pytest.mark.parametrize(
    ("check", "break_"),
    [
        ("version", answers("getnetworkinfo", version=210000)),
        ("peers", answers("getnetworkinfo", connections=2)),
        ("tip age", answers("getblockchaininfo", time=1_700_000_000)),
        ("clock", clock(120)),
        ("node warnings", answers("getnetworkinfo", warnings=["unknown new rules activated"])),
        ("consensus rules", replies("getdeploymentinfo", error(-32601))),
        ("proposal", lambda node, config: setattr(node, "proposal", "inconclusive-not-best-prevblk")),
        ("RPC threads", lambda node, config: one_thread(node)),
        ("RPC threads", lambda node, config: queue_full(node)),
        ("RPC threads", replies("waitfornewblock", Reply(403))),
    ],
)
def test_lesser_trouble_is_a_warning(
    check: str, break_: Callable[[HealthyNode, dict[str, Any]], object], healthy: HealthyNode, tmp_path: Path
) -> None:
    config = config_for(healthy, tmp_path)
    break_(healthy, config)
    findings = examine_node(config)
    assert [finding.check for finding in findings if finding.status is Status.WARNING] == [check], findings
    assert red(findings) == []


# --- faults of the machine -------------------------------------------------------------------------------------------


def examine_machine(config: Config, config_path: Path | None = None) -> dict[str, Finding]:
    return {each.check: each for each in run_checks(machine.machine_checks(config, config_path))}


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the real kernel in each test would take long; it has a test of its own."""
    monkeypatch.setattr(machine, "_kernel", lambda config: ok("left out"))


def expect_red(found: dict[str, Finding], check: str, says: str) -> None:
    assert red(list(found.values())) == [check], found
    assert says in found[check].todo


def test_this_machine_is_green(tmp_path: Path) -> None:
    found = examine_machine(Config(data_dir=tmp_path))
    assert red(list(found.values())) == []
    assert "hashes match hashlib" in found["kernel"].evidence


@pytest.mark.usefixtures("no_kernel")
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5 << 20))
    expect_red(examine_machine(Config(data_dir=tmp_path)), "disk space", "free some space")


@pytest.mark.usefixtures("no_kernel")
def test_unwritable_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    expect_red(examine_machine(Config(data_dir=tmp_path / "data")), "data folder", "set data_dir")


@pytest.mark.usefixtures("no_kernel")
def test_slow_and_failing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "fsync_secs", lambda folder: 2.5)
    expect_red(examine_machine(Config(data_dir=tmp_path)), "disk speed", "faster disk")

    def broken(folder: Path) -> float:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(machine, "fsync_secs", broken)
    expect_red(examine_machine(Config(data_dir=tmp_path)), "disk speed", "check the disk")


@pytest.mark.usefixtures("no_kernel")
def test_password_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"bitcoin_rpc": {"username": "me", "password": "a secret"}}))
    path.chmod(0o644)
    config = load_config(path, environ={}, overrides={"data_dir": str(tmp_path / "data")})
    found = examine_machine(config, path)
    expect_red(found, "permissions", f"chmod 600 {path}")
    assert "a secret" not in str(found)


@pytest.mark.parametrize("part", ["fallback_pool", "mqtt", "alerts"])
@pytest.mark.usefixtures("no_kernel")
def test_password_file_that_others_can_read(tmp_path: Path, part: str) -> None:
    path = tmp_path / "password"
    path.write_text("hush")
    path.chmod(0o644)
    secret = {"username": "u", "password_file": str(path)}
    parts = {
        "fallback_pool": {"url": "stratum+tcp://h:1", "user": "u", "password_file": str(path)},
        "mqtt": {"host": "broker", **secret},
        "alerts": {"smtp": {"host": "mail", "to": ["me@example.org"], **secret}},
    }
    config = load_config(environ={}, overrides={"data_dir": str(tmp_path / "data"), part: parts[part]})
    expect_red(examine_machine(config), "permissions", f"chmod 600 {path}")


@pytest.mark.usefixtures("no_kernel")
def test_config_that_others_can_write(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    path.chmod(0o602)
    config = load_config(path, environ={}, overrides={"data_dir": str(tmp_path / "data")})
    expect_red(examine_machine(config, path), "permissions", "chmod o-w")


@pytest.mark.usefixtures("no_kernel")
def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=64 << 20))
    expect_red(examine_machine(Config(data_dir=tmp_path)), "memory", "free some memory")


@pytest.mark.usefixtures("no_kernel")
def test_second_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "second").write_text("")
    config = Config(data_dir=tmp_path / "data", journal_fallback_dir=tmp_path / "second")
    expect_red(examine_machine(config), "second place for blocks", "to another folder")


@pytest.mark.usefixtures("no_kernel")
def test_temperature_bound_without_a_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.governor.throttle.Sensors.temperature_c", lambda self: None)
    config = load_config(environ={}, overrides={"data_dir": str(tmp_path), "throttle.max_temperature_c": 80})
    expect_red(examine_machine(config), "sensors", "remove max_temperature_c")


@pytest.mark.usefixtures("no_kernel")
def test_all_cores_reserved_is_a_warning(tmp_path: Path) -> None:
    found = examine_machine(Config(data_dir=tmp_path, cpu_cores_reserved=4096))
    assert found["cores"].status is Status.WARNING
    assert "cpu_cores_reserved" in found["cores"].todo


def test_unknown_kernel(tmp_path: Path) -> None:
    expect_red(examine_machine(Config(data_dir=tmp_path, kernel="no-such-kernel")), "kernel", "")


def test_kernel_that_computes_wrongly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kernel whose answers differ from hashlib's in a single hit is reported."""
    real = load_kernel(None, cache_dir=default_cache_dir())

    class Wrong:
        name, midstates = "wrong", real.midstates

        def scan(self, *args: Any) -> tuple[int, int]:
            found, done = real.scan(*args)
            return max(found - 1, 0), done

    monkeypatch.setattr(kernelcheck, "load_kernel", lambda name, cache_dir: Wrong())
    told = kernelcheck.main(str(tmp_path))
    assert "disagrees with hashlib" in told["problem"]
    assert "memory and processor" in told["todo"]


def test_kernel_that_crashes_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = examine_machine(Config(data_dir=tmp_path))
    assert red(list(found.values())) == ["kernel"]


# --- the command, and the checks themselves --------------------------------------------------------------------------


def test_command_prints_and_exits_with_the_result(healthy: HealthyNode, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_for(healthy, tmp_path)))
    path.chmod(0o600)
    good = CliRunner().invoke(app, ["doctor", "--config", str(path), "--json", "--listen-secs", "0"])
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["ok"]
    healthy.answers["submitblock"] = "rejected"
    bad = CliRunner().invoke(app, ["doctor", "--config", str(path), "--listen-secs", "0"])
    assert bad.exit_code == 1
    assert "failed" in bad.output
    assert "-> look for a proxy" in bad.output
    assert "a secret" not in bad.output + good.output


def test_demo_needs_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_kernel", lambda config: ok("left out"))
    findings = list(doctor.examine(Config(mode="demo", data_dir=tmp_path), None))
    assert findings[-1].status is Status.SKIPPED
    assert red(findings) == []


def test_what_rests_on_a_failure_is_skipped() -> None:
    checks = [
        Check("one", lambda: failed("broken", "mend it")),
        Check("two", lambda: ok("unreachable"), ("one",)),
        Check("three", lambda: ok("unreachable"), ("two",)),
        Check("four", lambda: ok("fine")),
    ]
    findings = list(run_checks(checks, "here"))
    assert [finding.status.value for finding in findings] == ["failed", "skipped", "skipped", "ok"]
    assert line(findings[0]).splitlines()[1].strip() == "-> mend it"
    assert MAINNET.genesis_hex not in line(findings[1])
