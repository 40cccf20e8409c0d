"""`solominer try-stratum stratum2+tcp://…` against our own server, a wrong key, and servers that are none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from solominer.cli import app
from solominer.cli.try_stratum import _trial_of
from solominer.doctor.stratum_link import Server
from solominer.doctor.stratum_talk import Login, Patience
from solominer.doctor.stratum_v2_trial import try_v2_server
from solominer.engines.stratum.authority import load_authority
from solominer.engines.stratum.channel import ListenerSetup
from solominer.errors import ConfigError
from tests.engines.stratum.engine_rig import in_thread, running
from tests.engines.stratum.serving import RudeServer

SHORT = Patience(1.0, 0.3, 0.5, 10.0)
KEY = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh"


def run(url: str, *args: str) -> tuple[int, str]:
    """The exit code and what was printed."""
    done = CliRunner().invoke(app, ["try-stratum", url, "--seconds", "0", *args])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


async def test_our_own_server_passes_each_step(tmp_path: Path) -> None:
    easy = ListenerSetup("127.0.0.1", 0, fractional=True)
    async with running(easy, authority_file=tmp_path / "a.json") as bench:
        bench.publish()
        code, said = await in_thread(lambda: run(bench.engine.urls[1]))
        assert code == 0, said
        lines = {line[9:37].strip(): line for line in said.splitlines() if line[:2] in ("ok", "wa", "sk", "fa")}
        assert all(
            line.startswith("ok") for name, line in lines.items() if name not in ("ntime", "another job", "outputs")
        )
        assert "authority key vouches" in lines["handshake"]
        assert "extranonce of 4 bytes behind 8" in lines["extended channel"]
        assert "duplicate-share" in lines["duplicate share"]
        assert "invalid-job-id" in lines["wrong job id"]
        assert "found and accepted" in lines["share"]


async def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    async with running(authority_file=tmp_path / "a.json") as bench:
        bench.publish()
        other = load_authority(tmp_path / "other.json").key
        url = bench.engine.urls[1].rpartition("/")[0] + "/" + other
        code, said = await in_thread(lambda: run(url))
        assert code == 1
        assert "not signed by this authority key" in said


@pytest.mark.parametrize(
    "answer", [b"", b'{"id":null,"error":"json"}\n', bytes(234), b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9]
)
def test_what_is_no_v2_server(answer: bytes) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(64)
        connection.sendall(answer)
        if len(answer) >= 234:
            connection.recv(1)

    with RudeServer(behave) as rude:
        server = Server("127.0.0.1", rude.port, False)
        findings = {each.check: each for each in try_v2_server(server, bytes(32), Login("u", "x", "t/1", 0.0), SHORT)}
    assert findings["handshake"].status == "failed"
    assert findings["handshake"].todo
    assert findings["share"].status == "skipped"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"stratum2+tcp://127.0.0.1:1/{KEY}x", "its checksum is wrong"),
        ("stratum2+tcp://127.0.0.1:1", "has no authority key behind the port"),
        (f"stratum2+tcp://host/{KEY}", "is not HOST:PORT"),
    ],
)
def test_an_address_that_is_none(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _trial_of(url, tls=False)
