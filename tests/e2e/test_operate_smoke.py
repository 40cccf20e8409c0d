"""The smoke test on a real node: it passes, and with one part broken on purpose it fails and names that step.

A part of the node is broken by a wrapper around the real bitcoind that takes away an RPC method or moves a publisher.
"""

from __future__ import annotations

import errno
import json
import shlex
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from regtest.scenarios import coins_address
from solominer.cli import app
from solominer.config.load import load_config
from solominer.config.paths import default_cache_dir
from solominer.daemon import every_run
from solominer.daemon.parts import pool_settings_of
from solominer.doctor.check import Finding, Status, first_failed
from solominer.doctor.drill import DRILL_SECS, drill_config, fire_drill
from solominer.doctor.smoke_test import Certificate, smoke_test
from solominer.engines.cpu.kernel import load_kernel
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from solominer.records.evidence.verify import verify
from solominer.views.logs import RecentEvents
from tests.e2e.harness import config_for

pytestmark = pytest.mark.e2e

METHODS = [
    "getblockchaininfo",
    "getblockhash",
    "getnetworkinfo",
    "getdeploymentinfo",
    "getblockcount",
    "getzmqnotifications",
    "getblocktemplate",
    "submitblock",
    "getbestblockhash",
    "getblockheader",
    "validateaddress",
    "listwallets",
    "createwallet",
    "loadwallet",
    "getaddressesbylabel",
    "getnewaddress",
]


@pytest.fixture(scope="module", autouse=True)
def warm_kernel() -> None:
    """Compiling it takes longer than the drills below may."""
    load_kernel(None, cache_dir=default_cache_dir())


def wrapped(binary: BitcoindBinary, folder: Path, *extra: str, filtered: str = "") -> Path:
    """A bitcoind that is the real one with further arguments; `filtered` is a sed script for each of the given ones."""
    script = folder / "bitcoind"
    lines = ["#!/bin/bash", "args=()"]
    change = f'$(sed -e {shlex.quote(filtered)} <<<"$a")' if filtered else "$a"
    lines += [
        f'for a in "$@"; do args+=("{change}"); done',
        f'exec {shlex.join(binary.argv)} "${{args[@]}}" {shlex.join(extra)}',
    ]
    script.write_text("\n".join(lines) + "\n")
    script.chmod(0o755)
    return script


def without_method(binary: BitcoindBinary, folder: Path, method: str) -> Path:
    """A bitcoind whose cookie user may call everything but `method`."""
    allowed = ",".join(name for name in METHODS if name != method)
    return wrapped(binary, folder, f"-rpcwhitelist=__cookie__:{allowed}")


def drill(tmp_path: Path, secs: float = DRILL_SECS, **settings: object) -> list[Finding]:
    config = load_config(environ={}, overrides={"mode": "regtest", "nice": 0, **settings})
    return fire_drill(drill_config(config, tmp_path / "drill"), RecentEvents(), secs)


def red(findings: list[Finding]) -> list[str]:
    return [finding.check for finding in findings if finding.status is Status.FAILED]


def test_passes_within_a_minute_and_leaves_a_certificate(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of it, as typed: the drill, then the configured node, here one with a chain of its own."""
    address = coins_address(node)
    before = node.call("getblockcount")
    config = config_for(node, tmp_path / "data", payout_address=address)
    path = tmp_path / "config.json"
    path.write_text(config.model_dump_json(exclude={"bitcoin_rpc": {"password"}}))
    started = time.monotonic()
    result = CliRunner().invoke(app, ["smoke-test", "--config", str(path), "--json"])
    assert time.monotonic() - started <= 60
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["passed"]
    assert told["failed_step"] is None
    (kept,) = (tmp_path / "data" / "smoke-tests").glob("*/certificate.json")
    assert json.loads(kept.read_text()) == told
    steps = {(finding["subject"], finding["check"]): finding for finding in told["findings"]}
    assert "high-hash" in steps[f"{node.rpc_host}:{node.rpc_port}", "submission"]["evidence"]
    assert "10 block proofs" in steps["drill", "proof"]["evidence"]
    assert verify(kept.parent).holds
    assert not (kept.parent / "private-node").exists()
    assert node.call("getblockcount") == before


def test_without_a_configuration_the_drill_passes(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["smoke-test", "--data-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "no node is configured; `solominer init`" in result.output
    assert "PASSED" in result.output


def test_network_examines_each_node_and_the_path_between(
    node: PrivateNode, bitcoind_binary: BitcoindBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solominer.doctor.smoke_test.LISTEN_SECS", 0.2)
    peer = f"127.0.0.1:{node.p2p_port}"
    with PrivateNode(bitcoind_binary, tmp_path / "other", connect_to=[peer]) as other:
        address = coins_address(node)
        other.call("waitforblockheight", node.call("getblockcount"), 10_000)
        more = {"name": "other", "host": "127.0.0.1", "port": other.rpc_port, "cookie_file": str(other.cookie_file)}
        config = config_for(node, tmp_path / "data", payout_address=address, more_nodes=[more])
        told = list(smoke_test(config, RecentEvents(), network=True))
        certificate = told[-1]
        assert isinstance(certificate, Certificate)
        assert certificate.passed
        by_other = {finding.check: finding for finding in certificate.findings if finding.subject == "other"}
        assert by_other[f"chain of 127.0.0.1:{node.rpc_port}"].evidence.startswith("same chain as")
        other.call("setnetworkactive", False)
        fork = other.call("generatetoaddress", 1, address)[0]
        told = list(smoke_test(config, RecentEvents(), network=True))
        certificate = told[-1]
        assert isinstance(certificate, Certificate)
        fault = first_failed(certificate.findings)
        assert fault is not None
        assert fault.check == "chain of other"
        assert fork[-16:] in fault.evidence


def test_broken_template(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    bitcoind = without_method(bitcoind_binary, tmp_path, "getblocktemplate")
    findings = drill(tmp_path, 4.0, bitcoind=bitcoind)
    assert red(findings) == ["template"]
    fault = first_failed(findings)
    assert fault is not None
    assert "403" in fault.evidence
    assert "rpcwhitelist" in fault.todo


def test_a_kernel_that_does_not_exist(tmp_path: Path) -> None:
    assert red(drill(tmp_path, 4.0, kernel="no-such-kernel")) == ["settings"]


def test_broken_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        every_run, "pool_settings_of", lambda config: replace(pool_settings_of(config), engine="nothing")
    )
    findings = drill(tmp_path, 4.0)
    assert red(findings) == ["worker"]
    fault = first_failed(findings)
    assert fault is not None
    assert "solominer doctor" in fault.todo


def test_broken_submission(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    bitcoind = without_method(bitcoind_binary, tmp_path, "submitblock")
    findings = drill(tmp_path, 12.0, bitcoind=bitcoind)
    assert red(findings) == ["submission"]


def test_broken_zmq(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    """The node publishes at another port than the one that it was told, as behind a firewall."""
    moved = r"s#\(zmqpub[a-z]*=tcp://\)127\.0\.0\.1#\1127.0.0.2#"
    findings = drill(tmp_path, 12.0, bitcoind=wrapped(bitcoind_binary, tmp_path, filtered=moved))
    assert red(findings) == ["zmq"]


def test_broken_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when a block is to be kept: submission goes on, the journal's step fails."""

    def full(path: Path, data: bytes, *, durable: bool = False) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("solominer.records.journal.journal.atomic_write", full)
    findings = drill(tmp_path)
    assert red(findings) == ["journal"]
    fault = first_failed(findings)
    assert fault is not None
    assert "No space left" in fault.evidence
    steps = {finding.check: finding.status for finding in findings}
    assert steps["submission"] is Status.OK


def test_unwritable_data_folder(tmp_path: Path) -> None:
    (tmp_path / "drill").write_text("a file where the folder should be")
    findings = drill(tmp_path)
    assert red(findings) == ["disk"]
    assert len(findings) == 1


def test_no_bitcoind(tmp_path: Path) -> None:
    findings = drill(tmp_path, bitcoind=tmp_path / "nothing")
    assert red(findings) == ["node"]


def test_broken_settings(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("nonsense: 1\n")
    findings = drill(tmp_path, plan=plan)
    assert red(findings) == ["settings"]
    fault = first_failed(findings)
    assert fault is not None
    assert "nonsense" in fault.evidence
