"""The RPC client against a fake node: every way in which a call can fail becomes the right error of ours, with advice
and without a secret; connections are reused, replaced when dead, and never wait longer than they should.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import orjson
import pytest

from solominer.errors import (
    ConfigError,
    MethodNotAllowed,
    NodeAuthFailed,
    NodeError,
    NodeNotReady,
    NodeTimeout,
    NodeUnreachable,
    RpcFailed,
)
from solominer.node import proxy, rpc
from solominer.node.credentials import CookieFile, UserPassword
from solominer.node.login import Login
from solominer.node.rpc import RpcClient
from tests.node.conftest import PASSWORD
from tests.node.fake_node import Drip, Drop, FakeNode, Raw, Reply, Reset, Silence, error, result


def test_a_call_carries_method_params_wallet_and_login(fake: FakeNode, client: RpcClient) -> None:
    fake.then(result({"a": 1.5}), result(None))
    assert client.call("echo", 1, ["zwei", {"drei": None}]) == {"a": 1.5}
    assert client.call("getbalance", wallet="my wallet/ü") is None
    first, second = fake.requests
    assert (first.method, first.params, first.path) == ("echo", [1, ["zwei", {"drei": None}]], "/")
    assert first.login == f"me:{PASSWORD}"
    assert second.path == "/wallet/my%20wallet%2F%C3%BC"
    assert fake.connections == 1


def test_raw_reply_is_the_body_as_it_came(fake: FakeNode, client: RpcClient) -> None:
    reply = result({"large": "00" * 1_000_000})
    fake.then(reply)
    body = client.call_raw("getblocktemplate")
    assert body.startswith(reply.body[:-1])
    assert client.decode_reply(body, "getblocktemplate") == {"large": "00" * 1_000_000}


@pytest.mark.parametrize(
    ("step", "expected", "words"),
    [
        (Reply(401), NodeAuthFailed, "401"),
        (Reply(403), MethodNotAllowed, "allow user me to call echo (HTTP 403)\n  -> add it to rpcwhitelist"),
        (Raw(b"\x9c\xf3\x1b[31m\n\x00 rubbish\n"), NodeUnreachable, "P2P port (8333)? RPC is 8332"),
        (Raw(b"\x15\x03\x03\x00\x02\x02\x46"), NodeUnreachable, "TLS"),
        (Raw(b"HTTP/\x1b[31m rubbish\r\n\r\n"), NodeUnreachable, "for echo"),
        (Raw(b"HTTP/1.1 200 OK\r\nX: " + b"\x1b" * 70_000), NodeUnreachable, "header line"),
        (Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nrubbish\r\n"), NodeUnreachable, "for echo"),
        (Reply(301, headers={"Location": "http://elsewhere/"}), NodeError, "HTTP 301"),
        (error(-1, "\x1b[31mred\u202e" + "x" * 1000, 500), RpcFailed, "\\x1b[31mred\\u202exxx"),
        (Reply(503, b"stopping"), NodeNotReady, "stopping"),
        (error(-28, "Loading block index"), NodeNotReady, "Loading block index"),
        (error(-9, "Bitcoin is not connected!"), NodeNotReady, "peers"),
        (error(-10, "in initial sync"), NodeNotReady, "is synced"),
        (error(-8, "Block height out of range"), RpcFailed, "Block height out of range"),
        (error(-32601, "Method not found", 404), RpcFailed, "Method not found"),
        (Reply(502, b"<html>Bad Gateway</html>"), NodeError, "HTTP 502"),
        (Reply(200, b""), NodeError, "no JSON-RPC"),
        (Reply(200, b'{"result": 1'), NodeError, "broken JSON"),
        (Reply(200, b"[1, 2]"), NodeError, "no JSON-RPC"),
        (Reply(200, b'{"hello": 1}'), NodeError, "not JSON-RPC"),
        (Reply(200, b'{"result": 1, "error": "words"}'), RpcFailed, "words"),
        (Reply(200, b'{"result"', claimed=5000, close=True), NodeUnreachable, "4991 are missing"),
        (Reply(200, b"5\r\n{12", {"Transfer-Encoding": "chunked"}, close=True), NodeUnreachable, "for echo"),
        (Drop(), NodeUnreachable, "for echo"),
        (Reset(), NodeUnreachable, "for echo"),
    ],
)
def test_every_failure_has_its_error(
    fake: FakeNode, client: RpcClient, step: Any, expected: type[NodeError], words: str
) -> None:
    fake.then(step)
    with pytest.raises(NodeError) as caught:
        client.call("echo")
    assert type(caught.value) is expected
    assert words in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert str(caught.value).replace("\n", "").isprintable()
    fake.then(result("fine"))
    assert client.call("echo") == "fine", "the next call works again"


def test_an_error_of_the_node_keeps_its_code(fake: FakeNode, client: RpcClient) -> None:
    fake.then(error(-5, "Block not found"))
    with pytest.raises(RpcFailed) as caught:
        client.call("getblockheader", "00")
    assert caught.value.code == -5


def test_errors_say_which_node_and_which_setting(fake: FakeNode) -> None:
    port = fake.port
    fake.__exit__(None, None, None)
    client = RpcClient("127.0.0.1", port, UserPassword("me", PASSWORD), name="alpha")
    with pytest.raises(NodeUnreachable, match="refused") as caught:
        client.call("getblockcount")
    assert f"node alpha (127.0.0.1:{port})" in str(caught.value)
    assert "bitcoin_rpc.port" in caught.value.todo


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "x" * 300, "ü" * 100])
def test_a_host_that_is_none_is_unreachable(host: str) -> None:
    client = RpcClient(host, 8332, UserPassword("me", PASSWORD), timeout_secs=5)
    with pytest.raises(NodeUnreachable):
        client.call("getblockcount")


def test_a_host_with_a_blank_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="not a host"):
        RpcClient("not a host", 8332, UserPassword("me", PASSWORD))


def test_ipv6_hosts_are_written_with_brackets() -> None:
    assert RpcClient("::1", 8332, UserPassword("me", "")).where == "[::1]:8332"


# --- time ---


def test_no_answer_in_time(fake: FakeNode, client: RpcClient) -> None:
    fake.then(Silence())
    with pytest.raises(NodeTimeout, match=r"0\.05 s"):
        client.call("echo", timeout_secs=0.05)


def test_the_deadline_is_for_the_whole_call(fake: FakeNode, client: RpcClient) -> None:
    """A node that sends a byte now and then does not hold us: each byte alone would be in time."""
    fake.then(Drip(0.02))
    start = time.monotonic()
    with pytest.raises(NodeTimeout):
        client.call("echo", timeout_secs=0.2)
    assert time.monotonic() - start < 10


def test_a_connection_that_is_never_made_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so nothing is unknown: not a NodeTimeout."""

    def hang(*_: Any, **__: Any) -> socket.socket:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", hang)
    with pytest.raises(NodeUnreachable, match="no connection within"):
        RpcClient("127.0.0.1", 1, UserPassword("me", "")).call("echo")


def test_interrupt_ends_a_call_of_another_thread(fake: FakeNode, client: RpcClient) -> None:
    fake.then(Silence())
    caught: list[NodeError] = []

    def ask() -> None:
        try:
            client.call("echo", timeout_secs=60)
        except NodeError as failure:
            caught.append(failure)

    thread = threading.Thread(target=ask)
    thread.start()
    fake.wait_for_request()
    client.interrupt()
    thread.join(10)
    assert [type(each) for each in caught] == [NodeUnreachable]
    with pytest.raises(NodeUnreachable):
        client.call("echo")
    assert len(fake.requests) == 1, "nothing more is sent"


# --- connections ---


def test_an_idle_connection_that_the_node_closed_is_replaced_before_sending(fake: FakeNode, client: RpcClient) -> None:
    fake.then(result(1, close=True), result(2))
    assert client.call("echo") == 1
    assert _becomes_stale(client)
    assert client.call("echo") == 2
    assert (fake.connections, len(fake.requests)) == (2, 2)


@pytest.mark.parametrize("step", [Drop(), Reset()])
def test_a_request_that_dies_on_an_old_connection_is_sent_once_more(
    fake: FakeNode, client: RpcClient, step: Any
) -> None:
    fake.then(result(1), step, result(2))
    assert client.call("echo") == 1
    assert client.call("echo") == 2
    assert (fake.connections, len(fake.requests)) == (2, 3)


def test_it_is_not_sent_a_third_time(fake: FakeNode, client: RpcClient) -> None:
    fake.then(result(1), Drop(), Drop(), result(2))
    client.call("echo")
    with pytest.raises(NodeUnreachable):
        client.call("echo")
    assert len(fake.requests) == 3


def test_chunked_replies_and_those_that_end_the_connection(fake: FakeNode, client: RpcClient) -> None:
    def chunked() -> Reply:
        rest = b'"id": %d}' % fake.requests[-1].id
        body = b'5\r\n{"res\r\n8\r\nult": 7,\r\n%x\r\n%s\r\n0\r\n\r\n' % (len(rest), rest)
        return Reply(200, body, {"Transfer-Encoding": "chunked"})

    last = Reply(200, b'{"result": 8}', {"Connection": "close"}, close=True)
    fake.answers["echo"] = chunked
    assert client.call("echo") == 7
    fake.then(last, result(9))
    assert [client.call("echo") for _ in range(2)] == [8, 9]
    assert fake.connections == 2


def test_a_reply_over_the_limit_is_refused(fake: FakeNode, client: RpcClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "MAX_REPLY_BYTES", 1000)
    fake.then(result("x" * 2000))
    with pytest.raises(NodeUnreachable, match="longer than 1000 bytes"):
        client.call("echo")


_BODY = b'{"result": "%s", "error": null, "id": <request id>}' % (b"x" * 3_000_000)


@pytest.mark.parametrize(
    "step",
    [
        Reply(200, _BODY),
        Reply(200, _BODY, {"Connection": "close"}, close=True),
        Raw(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY),
        Raw(b"HTTP/1.0 200 OK\r\n\r\n" + _BODY),
        Raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + _BODY),
        Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(_BODY) + _BODY + b"\r\n0\r\n\r\n"),
    ],
    ids=["keep-alive", "close", "1.0 with length", "1.0 to its end", "close to its end", "chunked and closed"],
)
def test_every_way_to_end_a_reply(fake: FakeNode, client: RpcClient, step: Any) -> None:
    """Newer Pythons (3.11.8, 3.12.2, 3.13) close the socket behind the last byte: also without another read."""
    fake.then(step, step)
    for _ in range(2):
        assert len(client.call("echo")) == 3_000_000


@pytest.mark.parametrize("step", [Reply(401), Reply(403), Reply(500), Reply(204), Reply(200, b"", close=True)])
def test_empty_replies(fake: FakeNode, client: RpcClient, step: Any) -> None:
    fake.then(step)
    with pytest.raises(NodeError):
        client.call("echo")
    fake.then(result(1))
    assert client.call("echo") == 1


# --- login ---


def test_403_for_everything_is_the_address(fake: FakeNode, client: RpcClient) -> None:
    fake.then(Reply(403), Reply(403))
    with pytest.raises(NodeAuthFailed, match="this address") as caught:
        client.call("echo")
    assert "rpcallowip" in caught.value.todo
    assert [each.login == "" for each in fake.requests] == [False, True]


def test_what_is_optional_is_done_without(fake: FakeNode, client: RpcClient, caplog: pytest.LogCaptureFixture) -> None:
    fake.answers = {"getnetworkinfo": lambda: Reply(403), "help": 1}
    assert client.ask_optional("help", instead=2).value == 1
    assert [client.ask_optional("getnetworkinfo", instead={}).value for _ in range(3)] == [{}] * 3
    assert [client.ask_optional("getdeploymentinfo", instead=None).value for _ in range(3)] == [None] * 3
    first, second = (record.getMessage() for record in caplog.records)
    assert "does not allow user me to call getnetworkinfo (HTTP 403): add it to rpcwhitelist" in first
    assert "getdeploymentinfo" in second
    fake.answers["help"] = error(-1, "broken")
    with pytest.raises(RpcFailed):
        client.ask_optional("help", instead=2)


@pytest.mark.parametrize("loss", ["deleted", "closed", "folder", "empty", "of another node"])
def test_what_let_us_in_is_remembered_by_all_connections(fake: FakeNode, tmp_path: Path, loss: str) -> None:
    """A second bitcoind deletes or overwrites the cookie of the first one, which runs on."""
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one")
    fake.answers = {"echo": 1}
    login = Login(CookieFile((cookie,)))
    with RpcClient("127.0.0.1", fake.port, login) as client:
        client.call("echo")
    cookie.unlink()
    if loss == "folder":
        cookie.mkdir()
    elif loss != "deleted":
        cookie.write_text("" if loss == "empty" else "__cookie__:other")
        cookie.chmod(0 if loss == "closed" else 0o600)
    with RpcClient("127.0.0.1", fake.port, login) as client:
        assert client.call("echo") == 1
    assert {each.login for each in fake.requests} == {"__cookie__:one"}
    assert login.changes == 1


def test_a_refused_login_without_another_one_says_both(fake: FakeNode, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one")
    with RpcClient("127.0.0.1", fake.port, CookieFile((cookie,))) as client:
        fake.then(result(1), Reply(401))
        client.call("echo")
        cookie.unlink()
        with pytest.raises(NodeAuthFailed, match=r"\(HTTP 401\), and no cookie file"):
            client.call("echo")
        fake.then(result(2))
        assert client.call("echo") == 2, "it is tried on"


def test_a_new_cookie_is_read_on_401(fake: FakeNode, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one")
    with RpcClient("127.0.0.1", fake.port, CookieFile((cookie,))) as client:
        fake.then(result(1), Reply(401), result(2))
        assert client.call("echo") == 1
        cookie.write_text("__cookie__:two")
        assert client.call("echo") == 2
    assert [each.login for each in fake.requests] == ["__cookie__:one", "__cookie__:one", "__cookie__:two"]


def test_the_same_cookie_is_not_tried_twice(fake: FakeNode, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one")
    with RpcClient("127.0.0.1", fake.port, CookieFile((cookie,))) as client:
        fake.then(Reply(401))
        with pytest.raises(NodeAuthFailed) as caught:
            client.call("echo")
    assert len(fake.requests) == 1
    assert str(cookie) in str(caught.value)
    assert "one" not in str(caught.value)


# --- the boundary ---


def _exceptions_of(module: Any) -> Iterator[type[Exception]]:
    for name in dir(module):
        kind = getattr(module, name)
        if not name.startswith("_") and isinstance(kind, type) and issubclass(kind, Exception):
            yield kind


FOREIGN = sorted(
    {
        *_exceptions_of(http.client),
        *_exceptions_of(socket),
        *OSError.__subclasses__(),
        *ConnectionError.__subclasses__(),
        OSError,
        UnicodeError,
        ValueError,
    },
    key=lambda kind: kind.__qualname__,
)


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("where", ["request", "getresponse"])
def test_no_foreign_exception_gets_through(
    fake: FakeNode, client: RpcClient, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], where: str
) -> None:
    """Everything that http.client and the sockets below it can raise, raised where they would."""

    def fail(*_: Any, **__: Any) -> None:
        raise _made(kind)

    monkeypatch.setattr(http.client.HTTPConnection, where, fail)
    with pytest.raises((NodeUnreachable, NodeTimeout)):
        client.call("echo")


def _made(kind: type[Exception]) -> Exception:
    try:
        return kind("told to")
    except TypeError:
        return kind.__new__(kind)


def test_what_cannot_be_encoded_is_a_mistake_of_ours(client: RpcClient) -> None:
    with pytest.raises(orjson.JSONEncodeError):
        client.call("echo", object())


# --- what replies hold ---


def test_the_clock_of_the_node_by_its_date_header(fake: FakeNode, client: RpcClient) -> None:
    for shift, low, high in ((0, 0, 0), (7200, 7197, 7201), (-7200, -7201, -7197)):

        def dated(shift: int = shift) -> Reply:
            return Reply(200, b'{"result": 1}', {"Date": formatdate(time.time() + shift, usegmt=True)})

        fake.answers["echo"] = dated
        client.call("echo")
        assert client.clock_offset_secs is not None
        assert low <= client.clock_offset_secs <= high


def test_without_or_with_a_senseless_date_the_offset_is_unknown(fake: FakeNode, client: RpcClient) -> None:
    fake.then(result(1), Reply(200, b'{"result": 1}', {"Date": "yesterday"}))
    for _ in range(2):
        client.call("echo")
        assert client.clock_offset_secs is None


@pytest.mark.parametrize("answer_id", [None, 0, -1, "1", 1.5, [], {}, True])
def test_the_reply_to_another_request_is_an_error(fake: FakeNode, client: RpcClient, answer_id: Any) -> None:
    """Also where it says that it was an error; the connection, on which the next reply may be wrong too, is dropped."""
    mixed_up = {"result": "bb", "error": None, "id": answer_id}
    failed = {**mixed_up, "error": {"code": -5, "message": "Block not found"}}
    fake.then(result(1), Reply(200, orjson.dumps(mixed_up)), Reply(500, orjson.dumps(failed)))
    client.call("echo")
    for _ in range(2):
        with pytest.raises(NodeError, match="reply to another request") as caught:
            client.call("getblockheader", "aa")
        assert type(caught.value) is NodeError
    assert fake.connections == 2


def test_two_programs_count_their_requests_apart() -> None:
    """So that a reply which reaches the wrong program behind one proxy is no match by chance."""
    program = "from solominer.node.proxy import _request_ids; print(next(_request_ids))"
    numbers = {subprocess.check_output([sys.executable, "-c", program], text=True) for _ in range(2)}
    assert len(numbers) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": null, "id": @}', "not JSON-RPC"),
        (b'{"result": NaN, "id": @}', "broken JSON"),
        (b'{"result": ' + b"9" * 400 + b', "id": @}', "broken JSON"),
        (b'{"result": ' + b"[" * 100_000 + b"]" * 100_000 + b', "id": @}', "broken JSON"),
        (b'{"result": "\\ud800", "id": @}', "broken JSON"),
        (b'{"result": "\xff", "id": @}', "broken JSON"),
        (b'{"error": ' + b'{"code":' * 900 + b"1" + b"}" * 900 + b', "id": @}', "error 0"),
        (b'{"error": {"code": "-28", "message": ["x"]}, "id": @}', "error 0: a list of 1"),
        (b'{"error": {"code": 1e300, "message": "' + b"x" * 1_000_000 + b'"}, "id": @}', "error 0: xxx"),
    ],
)
def test_whatever_a_body_holds_is_an_error_of_ours(fake: FakeNode, client: RpcClient, body: bytes, words: str) -> None:
    fake.answers["echo"] = lambda: Reply(200, body.replace(b"@", str(fake.requests[-1].id).encode()))
    with pytest.raises(NodeError, match=words) as caught:
        client.call("echo")
    assert len(str(caught.value)) < 1000


def _becomes_stale(client: RpcClient) -> bool:
    """Wait until the end of the connection has arrived here."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if client._connection.is_stale():
            return True
    return False


def test_a_full_work_queue_is_tried_again_until_it_takes_the_call(fake: FakeNode, client: RpcClient) -> None:
    """rpcworkqueue: the node is well, and a moment later it has a place."""
    noticed: list[int] = []
    client.on_queue_full = lambda: noticed.append(1)
    fake.answers["submitblock"] = None
    full = Reply(503, b"Work queue depth exceeded")
    fake.then(full, full, full)
    assert client.call("submitblock", "00") is None
    assert len(noticed) == 3


def test_a_work_queue_that_stays_full_is_an_error_in_time(
    fake: FakeNode, client: RpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "QUEUE_FULL_SECS", 0.2)
    fake.answers["echo"] = Reply(503, b"Work queue depth exceeded")
    with pytest.raises(NodeNotReady, match=r"Work queue depth exceeded.*\n.*rpcworkqueue"):
        client.call("echo")
