"""Credentials: any characters survive into the header, files are read anew, and nothing secret is ever shown."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.networks import MAINNET, REGTEST
from solominer.errors import ConfigError, NodeAuthFailed
from solominer.node.credentials import CookieFile, Credentials, PasswordFile, UserPassword, default_data_folders

_TEXT = st.text(st.characters(codec="utf-8"))


def _decoded(credentials: Credentials) -> bytes:
    scheme, _, value = credentials.header().partition(b" ")
    assert scheme == b"Basic"
    return b64decode(value, validate=True)


@given(username=_TEXT.filter(lambda text: ":" not in text), password=_TEXT)
def test_any_user_and_password_arrive_unchanged(username: str, password: str) -> None:
    assert _decoded(UserPassword(username, password)) == f"{username}:{password}".encode()


def test_bytes_of_the_environment_that_are_no_text_arrive_unchanged() -> None:
    assert _decoded(UserPassword("me", b"\xff\xfe".decode(errors="surrogateescape"))) == b"me:\xff\xfe"


def test_secrets_are_not_shown() -> None:
    credentials = UserPassword("me", "tell-nobody")
    assert "tell-nobody" not in f"{credentials!r} {credentials} {credentials.describe()}"


def test_a_colon_in_the_username_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="colon"):
        UserPassword("a:b", "c")
    with pytest.raises(ConfigError, match="colon"):
        PasswordFile("a:b", tmp_path / "password")


def test_the_password_file_is_its_first_line_and_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "password"
    credentials = PasswordFile("me", path)
    path.write_text("first:with colon\nrest\n")
    assert _decoded(credentials) == b"me:first:with colon"
    path.write_text("second")
    assert _decoded(credentials) == b"me:second"


@pytest.mark.parametrize("content", ["", "\n", "\nsecond line"])
def test_an_empty_password_file_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "password"
    path.write_text(content)
    with pytest.raises(NodeAuthFailed, match="is empty"):
        PasswordFile("me", path).header()


def test_a_missing_password_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(NodeAuthFailed, match=r"no password file at .*nowhere"):
        PasswordFile("me", tmp_path / "nowhere").header()


def test_the_first_cookie_that_is_there_counts(tmp_path: Path) -> None:
    paths = (tmp_path / "one", tmp_path / "two")
    paths[1].write_text("__cookie__:abc\n")
    assert _decoded(CookieFile(paths)) == b"__cookie__:abc"


def test_a_missing_cookie_names_every_place(tmp_path: Path) -> None:
    paths = (tmp_path / "one", tmp_path / "two")
    with pytest.raises(NodeAuthFailed, match=r"one or .*two") as caught:
        CookieFile(paths).header()
    assert "bitcoin_rpc.cookie_file" in caught.value.todo


def test_a_cookie_without_a_colon_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / ".cookie"
    path.write_text("half-writ")
    with pytest.raises(NodeAuthFailed, match="is not user:password") as caught:
        CookieFile((path,)).header()
    assert "half-writ" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(NodeAuthFailed, match="cannot be read"):
        CookieFile((tmp_path,)).header()


def test_a_file_that_is_too_long_is_not_a_cookie(tmp_path: Path) -> None:
    path = tmp_path / ".cookie"
    path.write_bytes(b"x" * 10_000)
    with pytest.raises(NodeAuthFailed, match="too long"):
        CookieFile((path,)).header()


def test_default_cookies_lie_in_the_network_folder() -> None:
    folders = default_data_folders()
    assert CookieFile.of_default_folder(MAINNET).paths == tuple(folder / ".cookie" for folder in folders)
    assert CookieFile.of_default_folder(REGTEST).paths == tuple(folder / "regtest" / ".cookie" for folder in folders)


def test_on_a_mac_the_data_folder_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_data_folders()[0].parts[-3:] == ("Library", "Application Support", "Bitcoin")
