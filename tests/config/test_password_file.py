"""Files whose first line is a password: one way to read them for nodes, pools, mail and MQTT, which never shows it."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from solominer.config.alerts import SmtpConfig
from solominer.config.load import load_config, warnings_about
from solominer.config.mqtt import MqttConfig
from solominer.config.password_file import others_can_read, read_password
from solominer.config.pools import PoolConfig
from solominer.errors import ConfigError, SolominerError
from solominer.node.credentials import PasswordFile
from solominer.upstream.connection import password_of
from solominer.web.alerts import senders
from solominer.web.mqtt.publisher import MqttPublisher

READERS: dict[str, Callable[[Path], str | None]] = {
    "node": lambda path: b64decode(PasswordFile("u", path).header()[6:]).decode().removeprefix("u:"),
    "pool": lambda path: password_of(PoolConfig(url="stratum+tcp://h:1", user="u", password_file=path)),
    "mail": lambda path: senders._password(SmtpConfig(host="h", to=("a@b.c",), password_file=path)),
    "mqtt": lambda path: MqttPublisher(
        MqttConfig(host="h", username="u", password_file=path), Mock(), Mock(), Mock()
    )._password(),
}
every_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@every_reader
@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"hush", "hush"),
        (b"hush\n", "hush"),
        (b"hush\r\nsecond line\r\n", "hush"),
        (b"\xef\xbb\xbfhush\n", "hush"),
        ("hush\r\n".encode("utf-16"), "hush"),
        (b" two blanks \n", " two blanks "),
        ("caf\u00e9\x0b\u2028\x85end\n".encode(), "caf\u00e9\x0b\u2028\x85end"),
        (b"cr\rinside\n", "cr\rinside"),
        (b"x" * 4096, "x" * 4096),
    ],
)
def test_the_password_is_the_first_line(
    tmp_path: Path, read: Callable[[Path], str | None], content: bytes, password: str
) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    assert read(path) == password


@every_reader
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no password file at"),
        (b"", "is empty"),
        (b"\nsecond line", "is empty"),
        (b"hush-hush" * 1000, "is too long for a password file"),
        (b"hush-hush\xff", "is not UTF-8 text"),
        (b"hush-hush\0", "is not UTF-8 text"),
        (b"\xff\xfeh", "is not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_said_without_the_content(
    tmp_path: Path, read: Callable[[Path], str | None], content: bytes | None, said: str
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SolominerError, match=said) as caught:
        read(path)
    assert str(path) in caught.value.what
    assert caught.value.todo
    assert "hush" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__cause__ is None


def test_nobody_waits_for_a_pipe_or_reads_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_password(path)


def test_a_mail_password_in_a_config_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"alerts": {"smtp": {"host": "h", "to": ["a@b.c"], "username": "u", "password": "hush"}}}')
    file.chmod(0o644)
    (warning,) = warnings_about(file, load_config(file, environ={}))
    assert "contains a password" in warning
    assert "hush" not in warning


@pytest.mark.parametrize("mode", [0o444, 0o440, 0o644])
def test_secrets_of_containers_and_services_may_have_their_usual_modes(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kubernetes mounts them: links to a folder that is replaced. A link to a file elsewhere is no such secret."""
    monkeypatch.setattr("solominer.config.password_file._CONTAINER_SECRETS", tmp_path / "secrets")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    for folder in ("secrets/..data", "credentials", "home"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "password").write_text("hush")
        (tmp_path / folder / "password").chmod(mode)
    (tmp_path / "secrets/password").symlink_to("..data/password")
    (tmp_path / "secrets/foreign").symlink_to(tmp_path / "home/password")
    asked = ("secrets/password", "credentials/password", "home/password", "secrets/foreign")
    assert [others_can_read(tmp_path / each) for each in asked] == [False, False, True, True]
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert others_can_read(tmp_path / "credentials/password")
