"""`solominer web token`: add, list, revoke."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from solominer.cli import app
from solominer.web.access.tokens import Role, TokenFile, session_of


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["web", "token", *arguments, "--mode", "regtest", "--data-dir", str(folder)], env={"COLUMNS": "200"}
    )


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "regtest")


def test_a_token_is_shown_once(tmp_path: Path, file: TokenFile) -> None:
    made = run(tmp_path, "add", "phone", "--role", "control", "--days", "30")
    assert made.exit_code == 0
    secret = made.stdout.strip()
    (token,) = file.load()
    assert (token.name, token.role) == ("phone", Role.CONTROL)
    assert token.expires_at is not None
    assert token.expires_at - token.created_at == 30 * 86_400
    listed = run(tmp_path, "list").stdout + run(tmp_path, "list", "--json").stdout
    assert "phone: control, expires" in listed
    for hidden in (secret, session_of(secret) or "?", token.hash):
        assert hidden not in listed


def test_the_default_reads_and_never_expires(tmp_path: Path, file: TokenFile) -> None:
    assert "there are no tokens" in run(tmp_path, "list").stdout
    made = json.loads(run(tmp_path, "add", "lab", "--json").stdout)
    assert (made["role"], made["link"]) == ("read", None)
    assert run(tmp_path, "list").stdout == "lab: read, never expires, never used\n"
    (row,) = json.loads(run(tmp_path, "list", "--json").stdout)
    assert (row["name"], row["expires_at"], row["last_used_at"]) == ("lab", None, None)
    assert len(file.load()) == 1


def test_a_share_is_a_link(tmp_path: Path, file: TokenFile) -> None:
    link = run(tmp_path, "add", "friends", "--role", "share").stdout.strip()
    assert link.startswith("http://127.0.0.1:3380/share/solominer_")
    (token,) = file.load()
    assert token.role is Role.SHARE


def test_revoking(tmp_path: Path, file: TokenFile) -> None:
    run(tmp_path, "add", "phone")
    assert run(tmp_path, "revoke", "phone").stdout == "revoked phone\n"
    assert file.load() == ()
    assert run(tmp_path, "revoke", "phone").exit_code != 0


BAD = [("add", "a b"), ("add", "x", "--role", "admin"), ("add", "x", "--days", "0"), ("add", "x", "--days", "nan")]


@pytest.mark.parametrize("arguments", BAD, ids=" ".join)
def test_bad_arguments(arguments: tuple[str, ...], tmp_path: Path, file: TokenFile) -> None:
    assert run(tmp_path, *arguments).exit_code != 0
    assert file.load() == ()


def test_options_before_the_command_are_not_ignored(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["web", "--data-dir", str(tmp_path), "token", "list"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "options come after token" in done.output
