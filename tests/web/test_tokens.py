"""Tokens: what is kept of them, who may change the file, and what the registry makes of a file that is not right."""

from __future__ import annotations

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from solominer.chain.fields import Field
from solominer.errors import ConfigError, RecordsError
from solominer.web.access import tokens as module
from solominer.web.access.tokens import (
    DAY_SECS,
    MAX_TOKENS,
    USE_SECS,
    Role,
    Token,
    TokenFile,
    TokenRegistry,
    hash_of,
    session_of,
)

AT = 1_800_000_000.0


def known(registry: TokenRegistry, secret: str) -> Token | None:
    session = session_of(secret)
    return None if session is None else registry.of_session(session)


def test_a_token_is_kept_as_a_hash_that_lets_nobody_in(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "regtest")
    secret = file.add("phone", Role.CONTROL, AT, days=30)
    assert len(secret) >= len("solominer_") + 256 / 6
    (token,) = file.load()
    assert (token.name, token.role, token.created_at, token.expires_at) == (
        "phone", Role.CONTROL, AT, AT + 30 * DAY_SECS,
    )  # fmt: skip
    kept = file.path.read_text()
    session = session_of(secret) or ""
    assert secret not in kept
    assert session not in kept
    assert token.hash == hash_of(session)
    assert session_of(token.hash) is None
    assert session_of(session) is None
    assert TokenRegistry(file.path.parent).of_session(token.hash) is None
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_tokens_differ(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    assert len({file.add(f"t{number}", Role.READ, AT) for number in range(20)}) == 20


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "x" * 41, "é", "a\n", "-x", "<b>"])
def test_names_are_plain(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be the name"):
        TokenFile(tmp_path).add(name, Role.READ, AT)


def test_a_name_is_taken_until_it_is_revoked(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    file.add("phone", Role.READ, AT)
    with pytest.raises(ConfigError, match="there is a token with the name phone"):
        file.add("phone", Role.CONTROL, AT)
    file.revoke("phone")
    with pytest.raises(ConfigError, match="no token 'phone'"):
        file.revoke("phone")
    file.add("phone", Role.CONTROL, AT)


def test_there_is_a_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 2)
    assert MAX_TOKENS > 2
    file = TokenFile(tmp_path)
    file.add("a", Role.READ, AT)
    file.add("b", Role.READ, AT)
    with pytest.raises(ConfigError, match="there are 2 tokens"):
        file.add("c", Role.READ, AT)


def test_commands_at_the_same_time_do_not_undo_each_other(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: file.add(f"t{number}", Role.READ, AT), range(24)))
    assert {token.name for token in file.load()} == {f"t{number}" for number in range(24)}


def test_a_revocation_holds_at_once_and_outlasts_uses(tmp_path: Path) -> None:
    file, registry = TokenFile(tmp_path), TokenRegistry(tmp_path, lambda: AT)
    assert registry.tokens == {}
    secret = file.add("phone", Role.READ, AT)
    token = known(registry, secret)
    assert token is not None
    assert registry.is_valid(token)
    file.revoke("phone")
    registry.used(token)
    assert not registry.is_valid(token)
    assert known(registry, secret) is None
    assert file.load() == ()


def test_tokens_expire(tmp_path: Path) -> None:
    now = AT
    file, registry = TokenFile(tmp_path), TokenRegistry(tmp_path, lambda: now)
    token = known(registry, file.add("week", Role.READ, AT, days=7))
    assert token is not None
    now = AT + 7 * DAY_SECS - 1
    assert registry.is_valid(token)
    now += 1
    assert not registry.is_valid(token)


def test_the_last_use_is_kept_over_a_restart_and_written_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, writes = AT, 0
    save = TokenFile.save_uses

    def counted(self: TokenFile, uses: dict[str, float]) -> None:
        nonlocal writes
        writes += 1
        save(self, uses)

    monkeypatch.setattr(TokenFile, "save_uses", counted)
    file = TokenFile(tmp_path)
    secret = file.add("phone", Role.READ, AT)
    registry = TokenRegistry(tmp_path, lambda: now)
    token = known(registry, secret)
    assert token is not None
    registry.used(token)
    now = AT + USE_SECS - 1
    registry.used(token)
    assert (writes, file.load_uses()) == (1, {token.hash: AT})
    now = AT + USE_SECS
    registry.used(token)
    again = TokenRegistry(tmp_path, lambda: AT + USE_SECS + 1)
    again.used(token)
    assert (writes, file.load_uses()) == (2, {token.hash: AT + USE_SECS})


@pytest.mark.parametrize("uses", ["", "[", '{"a": "x"}', '{"a": -1}', "[]"])
def test_torn_uses_are_forgotten(uses: str, tmp_path: Path) -> None:
    (tmp_path / module.USES_FILE).write_text(uses)
    assert TokenFile(tmp_path).load_uses() == {}


GOOD = {"name": "a", "role": "read", "hash": "ab" * 32, "created_at": 1.0, "expires_at": None}


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "{}", '{"tokens": 1}', '{"tokens": [1]}', "\x00" * 100,
        *(json.dumps({"tokens": [{**GOOD, key: value}]}) for key, value in [
            ("name", 1), ("name", None), ("role", "admin"), ("role", ["read"]), ("hash", "ab"), ("hash", "zz" * 32),
            ("hash", None), ("created_at", "x"), ("created_at", None), ("expires_at", "soon"), ("expires_at", -1),
        ]),
    ],
)  # fmt: skip
def test_a_damaged_file_lets_nobody_in_and_says_so(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, registry = TokenFile(tmp_path), TokenRegistry(tmp_path)
    secret = file.add("phone", Role.CONTROL, AT)
    assert known(registry, secret) is not None
    file.path.write_text(content)
    assert known(registry, secret) is None
    assert known(registry, secret) is None
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "is damaged" in record.getMessage()
    assert "solominer web token add" in record.getMessage()
    for command in (lambda: file.add("x", Role.READ, AT), lambda: file.revoke("phone")):
        with pytest.raises(RecordsError, match="is damaged"):
            command()
    assert file.path.read_text() == content


def test_a_file_of_a_newer_version_lets_nobody_in_and_is_not_said_to_be_damaged(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    file.add("phone", Role.CONTROL, AT)
    written = file.path.read_text()
    file.path.write_text(written.replace("solominer-web-tokens/1", "solominer-web-tokens/2"))
    with pytest.raises(RecordsError, match="another version of solominer: 'solominer-web-tokens/2'") as refused:
        file.add("x", Role.READ, AT)
    assert "newest version" in refused.value.todo
    file.path.write_text(written.replace('"format": "solominer-web-tokens/1",', ""))  # as versions before wrote it
    assert [token.name for token in file.load()] == ["phone"]


def test_a_good_line_is_read() -> None:
    assert module._token(Field(GOOD, "x")) == Token("a", Role.READ, "ab" * 32, 1.0)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_change_lets_nobody_in_until_that_is_mended(mode: int, tmp_path: Path) -> None:
    file, registry = TokenFile(tmp_path), TokenRegistry(tmp_path)
    secret = file.add("phone", Role.CONTROL, AT)
    file.path.chmod(mode)
    assert known(registry, secret) is None
    with pytest.raises(RecordsError, match="can be changed by other users") as caught:
        file.load()
    assert "chmod 600" in caught.value.todo
    file.path.chmod(0o600)
    assert known(registry, secret) is not None


def test_another_users_file_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = TokenFile(tmp_path)
    file.add("phone", Role.CONTROL, AT)
    mine = file.path.stat().st_uid
    if mine == 0:
        os.chown(file.path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(RecordsError, match="can be changed by other users"):
        file.load()


def test_an_unreadable_file_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = TokenFile(tmp_path)
    secret = file.add("phone", Role.CONTROL, AT)

    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(file.path))

    monkeypatch.setattr(module, "read_bounded", refuse)
    assert known(TokenRegistry(tmp_path), secret) is None
    with pytest.raises(RecordsError, match="belongs to another user"):
        file.load()


def test_a_folder_in_the_place_of_the_file_lets_nobody_in(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    file.path.mkdir()
    file.path.chmod(0o700)
    assert TokenRegistry(tmp_path).tokens == {}
    with pytest.raises(RecordsError, match="the web tokens cannot be read"):
        file.load()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="cannot be written"):
        TokenFile(tmp_path / "file" / "regtest").add("phone", Role.READ, AT)
