"""scripts/install-service: what it says it would do, what it refuses, and what it really writes.

The last runs it in a bubblewrap sandbox whose /etc, /opt and /run are empty and gone afterwards. Only what would need a
registry, a user database or a running systemd is stood in for: pip, useradd, systemctl; what they are asked is checked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manager import REPO

SCRIPT = REPO / "scripts/install-service"
UNIT = REPO / "deploy/systemd/solominer.service"


def run(*args: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *args], capture_output=True, text=True, env=dict(os.environ, **(environ or {})), check=False
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text((REPO / "config.json.example").read_text())
    return path


def programs(folder: Path, **bodies: str) -> Path:
    """A folder for PATH with small shell programs in it."""
    folder.mkdir()
    for name, body in bodies.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


def test_a_dry_run_tells_everything_and_needs_nothing(config: Path) -> None:
    done = run("--config", str(config), "--allow", "192.0.2.7", "--allow", "192.0.2.8", "--start", "--dry-run")
    assert done.returncode == 0, done.stderr
    for step in (
        "useradd --system",
        "-m venv /opt/solominer",
        "-m 0640 -o root -g solominer",
        "daemon-reload",
        "enable",
    ):
        assert step in done.stdout
    assert "IPAddressAllow=192.0.2.7 192.0.2.8" in done.stdout
    assert "--no-block restart" in done.stdout


def test_a_dry_run_never_shows_the_password(config: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    done = run("--config", str(config), "--password-file", str(tmp_path / "secret"), "--dry-run")
    assert done.returncode == 0
    assert "correct horse" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("args", "what", "todo"),
    [
        (("--dry-run",), "--config is missing", "solominer init"),
        (("--config",), "--config needs a value", "--help"),
        (("--config", "/nowhere.json", "--dry-run"), "cannot read /nowhere.json", "check the path"),
        (("--frobnicate",), "unknown option --frobnicate", "--help"),
    ],
)
def test_wrong_use_is_told(args: tuple[str, ...], what: str, todo: str) -> None:
    done = run(*args)
    assert done.returncode == 1
    assert what in done.stderr
    assert todo in done.stderr


def test_a_config_that_is_not_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    done = run("--config", str(tmp_path / "config.json"), "--dry-run")
    assert done.returncode == 1
    assert "is not valid JSON" in done.stderr


@pytest.mark.parametrize(
    ("fake", "what", "todo"),
    [
        ({"id": "case $1 in -u) echo 1000;; *) echo miner;; esac"}, "requires root, you are miner", "sudo"),
        ({"uname": "echo Darwin"}, "not Linux", "launchd"),
    ],
)
def test_the_wrong_place_is_told(tmp_path: Path, config: Path, fake: dict[str, str], what: str, todo: str) -> None:
    bin_dir = programs(tmp_path / "bin", **fake)
    done = run("--config", str(config), environ={"PATH": f"{bin_dir}:{os.environ['PATH']}"})
    assert done.returncode == 1
    assert what in done.stderr
    assert todo in done.stderr


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs this machine: nothing to refuse")
def test_a_machine_without_systemd_is_told(tmp_path: Path, config: Path) -> None:
    bin_dir = programs(tmp_path / "bin", id="echo 0")
    done = run("--config", str(config), environ={"PATH": f"{bin_dir}:{os.environ['PATH']}"})
    assert done.returncode == 1
    assert "systemd is not running on this machine" in done.stderr


def sandbox(tmp_path: Path) -> list[str]:
    """bwrap with empty /etc, /opt and /run, and a root of its own."""
    etc = [
        text
        for name in ("passwd", "nsswitch.conf", "ld.so.cache")
        for text in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    ]
    empty = [
        "--tmpfs",
        "/etc",
        "--tmpfs",
        "/opt",
        "--tmpfs",
        "/run",
        "--dir",
        "/run/systemd/system",
        "--dir",
        "/etc/systemd/system",
    ]
    return ["bwrap", "--unshare-user", "--uid", "0", "--gid", "0", "--ro-bind", "/", "/", "--dev", "/dev", *empty, *etc,
            "--bind", str(tmp_path), str(tmp_path), "--die-with-parent"]  # fmt: skip


def can_sandbox() -> bool:
    """Whether bubblewrap is here and may make namespaces."""
    if shutil.which("bwrap") is None:
        return False
    probe = ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(
    not can_sandbox(), reason="bubblewrap is not here, or may not make namespaces; apt install bubblewrap"
)
def test_it_writes_what_it_says(tmp_path: Path, config: Path) -> None:
    """The group `solominer` does not exist in the sandbox, so `install` is told root's instead; modes are its own."""
    asked = tmp_path / "asked"
    python = 'case "$*" in *venv\\ /opt*) mkdir -p /opt/solominer/bin; cp "$0" /opt/solominer/bin/python;; esac'
    bin_dir = programs(
        tmp_path / "bin",
        systemctl=f'echo "systemctl $*" >>{asked}',
        useradd=f'echo "useradd $*" >>{asked}',
        fakepython=f'{python}; echo "python $*" >>{asked}',
        install='exec /usr/bin/install $(echo "$*" | sed "s/-g solominer/-g root/")',
    )
    (tmp_path / "secret").write_text("correct horse\n")
    look = "cd /etc && find solominer systemd -type f -printf '%m %p\\n' && cat solominer/config.json"
    command = f"{SCRIPT} --config {config} --password-file {tmp_path / 'secret'} --allow 192.0.2.7 --start && {look}"
    environ = ["--setenv", "PATH", f"{bin_dir}:/usr/sbin:/usr/bin:/sbin:/bin", "--setenv", "PYTHON", "fakepython"]
    argv = [*sandbox(tmp_path), *environ, "--", "sh", "-c", command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in (
        "640 solominer/config.json",
        "600 solominer/rpc-password",
        "644 systemd/system/solominer.service",
        "644 systemd/system/solominer.service.d/allow.conf",
    ):
        assert line in done.stdout.splitlines()
    assert json.dumps(json.loads(config.read_text())["payout_address"]) in done.stdout
    calls = asked.read_text()
    assert "useradd --system --user-group" in calls
    assert f"python -m pip install --quiet --upgrade {REPO}" in calls
    assert (
        calls.index("systemctl daemon-reload")
        < calls.index("systemctl enable")
        < calls.index("systemctl --no-block restart")
    )
    assert "correct horse" not in done.stdout + done.stderr + calls
