"""The systemd unit: systemd's own check of it, and its agreement with the program. Needs no root, no running systemd.

`systemd-analyze` comes with Debian's package systemd; without it two tests are skipped and say so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from solominer.cli import app
from solominer.config.load import load_config
from solominer.daemon.nodes import credentials_of
from solominer.errors import ConfigError
from solominer.node.credentials import PasswordFile
from tests.deploy.manager import REPO

UNIT = REPO / "deploy/systemd/solominer.service"
MOST_EXPOSURE = 1.5

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here; on Debian: apt install systemd"
)


def settings() -> dict[str, list[str]]:
    """All `Key=value` lines of the unit."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def analyze(*args: str) -> subprocess.CompletedProcess[str]:
    environ = dict(os.environ, SYSTEMD_COLORS="0", LC_ALL="C.UTF-8")
    return subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, env=environ, check=False)


@needs_systemd_analyze
def test_verify_has_nothing_to_say(tmp_path: Path) -> None:
    """The program is not installed here, so the copy that is verified runs another one; nothing else is changed."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/solominer/bin/solominer", "/bin/true"))
    done = analyze("verify", "--man=no", str(copy))
    own = [line for line in (done.stdout + done.stderr).splitlines() if "solominer" in line]
    assert (own, done.returncode) == ([], 0)


@needs_systemd_analyze
def test_verify_finds_a_broken_line(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(
        UNIT.read_text().replace("/opt/solominer/bin/solominer", "/bin/true").replace("Type=notify", "Type=x")
    )
    assert "Failed to parse service type" in analyze("verify", "--man=no", str(copy)).stderr


@needs_systemd_analyze
def test_exposure_is_low() -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(UNIT))
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert match, done.stdout + done.stderr
    assert float(match[1]) <= MOST_EXPOSURE


TRY_HARDENING = [str(REPO / "scripts/try-hardening"), "--together"]
HIDDEN = ("/tmp", "/var/tmp", "/home", "/run/user")  # by PrivateTmp and ProtectHome


@pytest.mark.skipif(
    any(REPO.is_relative_to(folder) for folder in HIDDEN), reason="the unit hides the folder in which this clone lies"
)
def test_a_miner_runs_under_all_restrictions_together() -> None:
    """The unit's namespaces and system-call filters, set by bubblewrap, around the demo."""
    done = subprocess.run(TRY_HARDENING, capture_output=True, text=True, check=False, timeout=200)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("mines")


def test_the_trials_cover_the_unit() -> None:
    """Every restriction of the unit is tried by scripts/try-hardening, or takes away what nobody here has."""
    tried = (REPO / "scripts/try-hardening").read_text()
    restrictions = {key for key in settings() if re.match(r"(Private|Protect|Restrict|Lock|NoNew|SystemCall|Cap)", key)}
    by_capabilities = {"ProtectClock", "ProtectKernelLogs", "ProtectKernelModules", "PrivateMounts"}
    assert {key for key in restrictions - by_capabilities if f"{key}=" not in tried} == {"SystemCallErrorNumber"}


def test_the_command_and_its_options_exist() -> None:
    program, command, *options = settings()["ExecStart"][0].split()
    assert program == "/opt/solominer/bin/solominer"
    told = CliRunner().invoke(app, [command, "--help"]).output
    assert all(option in told for option in options if option.startswith("--"))


def test_what_is_not_restarted_is_the_code_of_a_wrong_configuration() -> None:
    assert settings()["RestartPreventExitStatus"] == [str(ConfigError.exit_code)]


def test_the_environment_sets_known_settings() -> None:
    variables = dict(pair.split("=", 1) for pair in settings()["Environment"][0].split())
    config = load_config(environ=variables)
    assert str(config.data_dir) == variables["SOLOMINER_DATA_DIR"] == "%S/solominer"
    assert set(variables) == {"SOLOMINER_DATA_DIR", "SOLOMINER_CACHE", "PYTHONUNBUFFERED"}


def test_a_credential_is_found_where_systemd_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, source = settings()["LoadCredential"][0].partition(":")
    assert source == "/etc/solominer/rpc-password"
    (tmp_path / name).write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    rpc = {"username": "miner", "password_file": f"$CREDENTIALS_DIRECTORY/{name}"}
    config = load_config(environ={}, overrides={"mode": "regtest", "bitcoin_rpc": rpc})
    assert config.bitcoin_rpc is not None
    credentials = credentials_of(config, config.bitcoin_rpc)
    assert credentials == PasswordFile("miner", tmp_path / name)
    assert credentials.header() == b"Basic bWluZXI6ZnJvbSBzeXN0ZW1k"
