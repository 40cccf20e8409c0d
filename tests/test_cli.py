"""The command line itself: that it answers at once, fails in one clear text, and gives the exit codes it promises."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest

from solominer import __version__, cli
from solominer.cli import evidence
from solominer.errors import ConfigError, RecordsError

ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
HEAVY = ("pydantic", "zmq", "numba", "numpy", "rich", "orjson", "psutil", "asyncio", "yaml", "bitcoinrpc")


def solominer(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SOLOMINER_")}
    command = [sys.executable, "-m", "solominer", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, cwd=cwd)


def test_help_imports_nothing_heavy() -> None:
    """What `--help` may take is a matter of what it imports."""
    args = ["--help"]
    code = (
        "import sys\nfrom solominer.cli import app\n"
        f"try:\n app({args!r})\nexcept SystemExit: pass\n"
        f"sys.stderr.write(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    typers_own = "rich" if tuple(map(int, version("typer").split(".")[:2])) < (0, 20) else ""
    assert done.stderr in ("", typers_own)
    assert "Usage:" in done.stdout


def test_version() -> None:
    assert solominer("--version").stdout == f"solominer {__version__}\n"


def test_no_command_shows_help() -> None:
    done = solominer()
    assert "Commands:" in done.stdout + done.stderr  # click before 8.2 prints it on standard output


def test_unknown_mode_is_one_clear_text(tmp_path: Path) -> None:
    done = solominer("run", "--mode", "regtset", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert "did you mean 'regtest'" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_config_file() -> None:
    done = solominer("run", "--config", "/nonexistent/config.json")
    assert done.returncode == 2
    assert done.stderr.startswith("solominer: /nonexistent/config.json does not exist\n  -> ")


def test_a_folder_is_no_config_file(tmp_path: Path) -> None:
    done = solominer("run", "--config", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"solominer: {tmp_path} is a folder\n  -> pass the file, such as {tmp_path}/config.json\n"


def test_an_empty_argument_is_not_the_current_folder(tmp_path: Path) -> None:
    done = solominer("run", "--mode", "demo", "--seconds", "1", "--data-dir", "", cwd=tmp_path)
    assert done.returncode == 2
    assert "--data-dir has an empty value" in done.stderr
    assert list(tmp_path.iterdir()) == []
    for arguments in (["verify", ""], ["run", "--config="], ["report", "--html", ""]):
        with pytest.raises(ConfigError, match="empty"):
            cli.refuse_empty(arguments)
    cli.refuse_empty(["try-stratum", "host", "--password", "", "--user", "x"])
    cli.refuse_empty(["try-stratum", "host", "--password=", "--user=a="])


def test_no_records_and_several_networks_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="there are no records in"):
        evidence._tree(None, tmp_path, None)
    for network in ("mainnet", "regtest"):
        (tmp_path / network / "ledger").mkdir(parents=True)
    with pytest.raises(RecordsError, match="several networks: mainnet, regtest"):
        evidence._tree(None, tmp_path, None)


def test_production_wants_a_yes_where_nobody_can_be_asked(tmp_path: Path) -> None:
    done = solominer("run", "--mode", "production", "--data-dir", str(tmp_path), "--payout-address", ADDRESS)
    assert done.returncode == 2
    assert "needs your confirmation first" in done.stderr
    assert "--yes" in done.stderr


@pytest.mark.parametrize(
    "command", [["verify", "@"], ["report", "--data-dir", "@"], ["status", "--data-dir", "@"], ["bench"]]
)
def test_a_closed_folder_and_a_removed_current_directory_are_no_traceback(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*args: object, **options: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/closed/by\x1b[others")

    monkeypatch.setattr(sys, "argv", ["solominer", *(word.replace("@", str(tmp_path)) for word in command)])
    monkeypatch.setattr(cli, "app", refused)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 7
    assert "Permission denied" in (said := capsys.readouterr().err)
    assert "\x1b" not in said

    (gone := tmp_path / "gone").mkdir()
    script = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); from solominer.cli import main; main()"
    arguments = [word.replace("@", "relative") for word in command]
    environ = {**os.environ, "SOLOMINER_CACHE": "relative"}  # absolute, bench could use the kernels that it has
    command = [sys.executable, "-P", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ)
    assert done.returncode in (2, 7, 8), done.stderr
    assert "Traceback" not in done.stderr


def test_a_limit_of_the_system_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(number: int) -> Callable[[], NoReturn]:
        def refused() -> NoReturn:
            raise OSError(number, os.strerror(number))

        return refused

    monkeypatch.setattr(sys, "argv", ["solominer", "report"])
    for number, said in ((errno.ENOSPC, "No space left on device"), (errno.EFBIG, "File too large")):
        monkeypatch.setattr(cli, "app", raises(number))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        assert capsys.readouterr().err.startswith(f"solominer: the system refuses: {said}\n  -> free some disk space")
    monkeypatch.setattr(cli, "app", raises(errno.EBADF))
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.main()  # a fault of our own


def test_bounded_mode_wants_an_end(tmp_path: Path) -> None:
    done = solominer("run", "--mode", "test", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert "--blocks, --hashes or --seconds" in done.stderr


def test_status_of_nothing(tmp_path: Path) -> None:
    done = solominer("status", "--mode", "regtest", "--data-dir", str(tmp_path))
    assert done.returncode == 8
    assert "solominer run" in done.stderr
