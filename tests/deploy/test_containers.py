"""Dockerfile, compose files, Kubernetes manifests and the launchd plist. None of them can be run in these tests.

So each is judged by its own field's tool (hadolint, the compose specification's schema, Kubernetes' schemas, yamllint,
plistlib; shellcheck for the scripts), and what they say to the program is held against the program: commands, options,
settings. The pair of compose/regtest.yaml is also run for real, as two processes on this machine instead of containers.
"""

from __future__ import annotations

import os
import plistlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from solominer.cli import app
from solominer.config.load import load_config
from solominer.errors import ConfigError
from solominer.node.private.bitcoind import find_bitcoind
from tests.deploy.manager import REPO, SOLOMINER
from tests.ports import free_ports

DEPLOY = REPO / "deploy"
COMPOSE = sorted((DEPLOY / "compose").glob("*.yaml"))
KUBERNETES = [DEPLOY / "kubernetes" / name for name in ("miner/miner.yaml", "cluster/nats.yaml", "cluster/node.yaml")]
MINER = KUBERNETES[0]
PLIST = DEPLOY / "launchd/com.solominer.daemon.plist"
DOCKERFILE = REPO / "Dockerfile"


def tool(name: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a linter of the environment that runs this test."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, args)]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def check_command(words: list[str]) -> None:
    """The command exists, and so does each of its long options."""
    told = CliRunner().invoke(app, [words[0], "--help"])
    assert told.exit_code == 0, told.output
    assert all(word in told.output for word in words if word.startswith("--"))


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", DOCKERFILE),
        ("yamllint", "--strict", "deploy", "mkdocs.yml"),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE),
        ("kubernetes-validate", "--strict", *KUBERNETES),
        ("shellcheck", "scripts/install-service"),
    ],
    ids=lambda command: str(command[0]),
)
def test_its_own_tool_is_content(command: tuple[str | Path, ...]) -> None:
    done = tool(str(command[0]), *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "args", "broken"),
    [
        ("hadolint", (), "FROM python\nRUN cd /x && sudo ls\n"),
        ("check-jsonschema", ("--builtin-schema", "vendor.compose-spec"), "services: {miner: {comand: run}}\n"),
        (
            "kubernetes-validate",
            ("--strict",),
            "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {port: 1}}\n",
        ),
        ("shellcheck", (), "#!/bin/sh\nrm $1\n"),
    ],
)
def test_the_tools_do_find_what_is_wrong(tmp_path: Path, name: str, args: tuple[str, ...], broken: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(broken)
    assert tool(name, *args, path).returncode != 0


def test_the_dockerfile_gives_no_root_and_calls_what_exists() -> None:
    text = DOCKERFILE.read_text()
    assert re.search(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE) == ['["solominer"]']
    for line in re.findall(r"CMD (\[.*\])$", text, re.MULTILINE):
        words = yaml.safe_load(line)
        check_command(words[1:] if words[0] == "solominer" else words)


def test_the_build_gets_all_that_setup_needs() -> None:
    sent = {line[1:] for line in (REPO / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent >= {"solominer", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"}
    assert all((REPO / name).exists() for name in sent)


def test_kubernetes_calls_what_exists_with_a_config_that_loads(tmp_path: Path) -> None:
    found = {each["kind"]: each for each in documents(MINER)}
    (container,) = found["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    check_command(container["args"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        line = container[probe]["exec"]["command"][-1] if probe != "readinessProbe" else "solominer status"
        program, command, *_ = line.split()
        assert program == "solominer"
        check_command([command])
    assert container["readinessProbe"]["exec"]["command"] == ["solominer", "status"]
    path = tmp_path / "config.json"
    path.write_text(found["ConfigMap"]["data"]["config.json"])
    config = load_config(path, environ={})
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert config.bitcoin_rpc is not None
    assert str(config.bitcoin_rpc.password_file and config.bitcoin_rpc.password_file.parent) in mounts
    written = set(re.findall(r"SOLOMINER_\w+=(\S+)", DOCKERFILE.read_text()))
    assert written <= mounts  # the root is read-only


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_a_composed_miner_has_a_read_only_root_and_no_rights(path: Path) -> None:
    miner = documents(path)[0]["services"]["miner"]
    assert miner["read_only"] is True
    assert miner["cap_drop"] == ["ALL"]
    assert miner["security_opt"] == ["no-new-privileges:true"]
    assert (path.parent / miner["build"]).resolve() == REPO
    check_command(miner.get("command", ["run"]))


def test_the_plist_is_one_and_calls_what_exists() -> None:
    plist = plistlib.loads(PLIST.read_bytes())
    assert PLIST.stem == plist["Label"]
    assert (plist["RunAtLoad"], plist["KeepAlive"], plist["Umask"]) == (True, {"SuccessfulExit": False}, 0o077)
    check_command(plist["ProgramArguments"][1:])
    load_config(environ=plist["EnvironmentVariables"])


def local(value: str, ports: dict[str, int]) -> str:
    """An address or port of the composed network, on this machine."""
    for inside, here in ports.items():
        value = value.replace(inside, str(here))
    return value.replace("//node:", "//127.0.0.1:").replace("0.0.0.0", "127.0.0.1")


@pytest.mark.e2e
def test_the_lab_mines(tmp_path: Path) -> None:
    """The node's arguments and the miner's environment of compose/regtest.yaml fit each other: five blocks."""
    services = documents(DEPLOY / "compose/regtest.yaml")[0]["services"]
    ports = dict(zip(("18443", "28332", "28333"), free_ports(3), strict=True))
    binary = find_bitcoind(None, REPO / ".cache/bitcoind", report=print)
    asked = [local(word, ports) for word in services["node"]["command"] if "rpcallowip" not in word]
    (tmp_path / "node").mkdir()
    node = subprocess.Popen(
        [*binary.argv, *asked, f"-rpcport={ports['18443']}", f"-datadir={tmp_path / 'node'}", "-printtoconsole=0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        environ = {name: local(value, ports) for name, value in services["miner"]["environment"].items()}
        assert environ["SOLOMINER_BITCOIN_RPC__HOST"] == "node"
        environ["SOLOMINER_BITCOIN_RPC__HOST"] = "127.0.0.1"
        environ["SOLOMINER_PAYOUT_ADDRESS"] = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", environ["SOLOMINER_PAYOUT_ADDRESS"])
        environ["SOLOMINER_SCHEDULE__BLOCK_INTERVAL_SECS"] = "1"
        environ |= {"SOLOMINER_DATA_DIR": str(tmp_path / "records"), "SOLOMINER_CACHE": str(REPO / ".cache")}
        done = subprocess.run(
            [*SOLOMINER, *services["miner"]["command"], "--blocks", "5"],
            cwd=REPO, env=os.environ | environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert "5 blocks accepted" in done.stderr
        assert "connected to tcp://127.0.0.1" in done.stderr
    finally:
        node.terminate()
        node.wait(60)


def test_a_wrong_variable_would_be_noticed() -> None:
    with pytest.raises(ConfigError):
        load_config(environ={"SOLOMINER_BITCOIN_RPC__HOOST": "node"})
