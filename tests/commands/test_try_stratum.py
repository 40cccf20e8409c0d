"""`solominer try-stratum` against a server built on the sessions, and against servers that do everything wrong."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from solominer.chain.transaction import TxOut
from solominer.cli import app
from solominer.cli.try_stratum import parse_server
from solominer.doctor import stratum_link
from solominer.doctor.check import Finding, Status
from solominer.doctor.stratum_link import Server
from solominer.doctor.stratum_talk import Login, Patience
from solominer.doctor.stratum_trial import try_server
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.shared import PayTo, Shared
from solominer.engines.stratum.work import Audience, Work
from solominer.errors import ConfigError
from tests.engines.stratum.builders import P2PKH, P2WPKH, REGTEST_BITS, make_shared, make_work
from tests.engines.stratum.pem import make_certificate
from tests.engines.stratum.serving import RudeServer, StratumServer

ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
MAINNET_BITS = 0x17030000
EASY = Limits(start=1e-6, fractional=True)
PATIENT = Patience(20.0, 20.0, 20.0, 20.0)
QUIET = replace(PATIENT, quiet_secs=0.3)
"""For servers that leave something out which they need not say."""
MUTE = Patience(0.3, 0.3, 0.5, 10.0)
"""For servers that never answer."""


def work_now(work_id: int = 1, tip: int = 1, **changes: Any) -> Work:
    """Work whose time is now."""
    values = {"nbits": MAINNET_BITS, "ntime": int(time.time()), "ntime_min": 0, "ntime_max": 0xFFFFFFFF}
    return make_work(work_id, tip, **(values | changes))


def shared_of(work: Work | None = None, limits: Limits = EASY, **settings: Any) -> Shared:
    return make_shared(work or work_now(), limits=limits, **settings)


def run(port: int, *args: str, seconds: str = "0") -> tuple[int, str]:
    """The exit code and what was printed."""
    done = CliRunner().invoke(app, ["try-stratum", f"127.0.0.1:{port}", "--seconds", seconds, *args])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert all(line.isprintable() for line in done.output.splitlines())
    return done.exit_code, done.output


def findings(
    port: int, *, tls: bool = False, wait_secs: float = 0.0, patience: Patience = PATIENT
) -> dict[str, Finding]:
    """The findings by step."""
    login = Login("rig", "x", "test/1", wait_secs)
    found = {each.check: each for each in try_server(Server("127.0.0.1", port, tls), login, patience)}
    assert all(each.evidence.isprintable() and len(each.evidence) < 1000 for each in found.values())
    return found


def only_failure(found: dict[str, Finding]) -> str:
    """The evidence of the one step that failed."""
    (fault,) = [each for each in found.values() if each.status is Status.FAILED]
    return f"{fault.check}: {fault.evidence}"


# A valid server


def test_all_is_well() -> None:
    with StratumServer(shared_of(notify_secs=0.3)) as server:
        code, said = run(server.port, "--user", f"{ADDRESS}.rig", seconds="20")
    assert code == 0, said
    assert "extranonce1 a1000007 of 4 bytes, extranonce2 of 8, session 0000" in said
    assert "version rolling with mask 1fffe000, 16 bits" in said
    assert "height 900,001, 163 bytes, witness commitment" in said
    assert f"3.12500000 BTC to {ADDRESS}; 100.00 % to the address of the username" in said
    assert re.search(r"\nok +share +found after [\d,]+ hashes .*, version bits 00002000, accepted\n", said)
    assert re.search(r"\nok +duplicate share +rejected: 22 Duplicate\n", said)
    assert re.search(r"\nok +wrong job id +rejected: 21 Invalid JobID\n", said)
    assert re.search(r"\nok +share above target +rejected: 23 Above target\n", said)
    assert "Method 'mining.no_such_method' not found; the connection is open" in said
    assert re.search(r"\nok +another job +after [\d.]+ s, older jobs remain valid; \d+ jobs in total", said)
    assert said.endswith(f"\n127.0.0.1:{server.port}: passed\n")


def test_a_high_difficulty_is_asked_down_or_told() -> None:
    with StratumServer(shared_of(limits=Limits())) as server:
        found = findings(server.port)
    assert found["lower difficulty"].evidence == "asked for 0.0001: the next job has 0.0001"
    with StratumServer(shared_of(limits=Limits(least=512))) as server:
        found = findings(server.port)
    assert found["lower difficulty"].evidence == "asked for 0.0001: the next job has 512"
    assert found["share"].evidence == "difficulty 512 is too high to find a share here (maximum 0.0001)"
    assert found["duplicate share"].status is Status.SKIPPED
    assert found["wrong job id"].evidence == "rejected: 21 Invalid JobID"
    assert found["share above target"].evidence == "rejected: 23 Above target"


def test_on_a_regtest_chain_a_share_is_a_block() -> None:
    shared = shared_of(work_now(nbits=REGTEST_BITS), limits=Limits(start=1.0, fractional=True))  # the network's
    with StratumServer(shared) as server:
        found = findings(server.port)
    assert "accepted; it is a block" in found["share"].evidence
    assert "to bcrt1qw508" in found["outputs"].evidence
    assert all(each.status is not Status.FAILED for each in found.values())


def test_a_refused_login_names_the_reason() -> None:
    with StratumServer(shared_of(pay_to=PayTo.MINER)) as server:
        code, said = run(server.port, "--user", "just-a-name")
        assert code == 1
        assert "just-a-name is refused: 24 the username must be a Bitcoin address" in said
        assert "see 'authorize'" in said
        code, said = run(server.port, "--user", f"{ADDRESS}.rig")
        assert code == 1
        assert "is refused: 24 no address of this network" in said
    with StratumServer(shared_of(pay_to=PayTo.MINER), addresses={ADDRESS: P2WPKH}) as server:
        code, said = run(server.port, "--user", f"{ADDRESS}.rig")
        assert code == 0, said
        assert "100.00 % to the address of the username" in said


def test_pings_are_answered_and_clean_jobs_noticed() -> None:
    shared = shared_of()
    with StratumServer(shared) as server:
        login = Login("rig", "x", "test/1", 20.0)
        steps = try_server(Server("127.0.0.1", server.port, False), login, PATIENT)
        for step in steps:
            if step.check == "unknown method":
                server.ask_all(b'{"id":5,"method":"mining.ping","params":[]}\n')
                server.publish(work_now(2, 2))
            if step.check == "another job":
                assert "clean_jobs; 2 jobs in total; 1 server requests answered" in step.evidence


def test_no_other_job_is_a_warning() -> None:
    with StratumServer(shared_of()) as server:
        code, said = run(server.port, seconds="0.2")
    assert code == 0
    assert "warning  another job" in said
    assert said.endswith(": passed, 1 warning\n")


def test_a_large_coinbase_is_a_warning() -> None:
    def five(work: Work, audience: Audience) -> list[TxOut]:
        return [*(TxOut(1, P2PKH) for _ in range(4)), TxOut(work.coinbase_value - 4, P2PKH)]

    with StratumServer(make_shared(work_now(), payouts=five, limits=EASY)) as server:
        login = Login("x", "x", "solominer/1", 0.0)  # an agent that takes it
        found = {each.check: each for each in try_server(Server("127.0.0.1", server.port, False), login, PATIENT)}
    assert found["coinbase"].status is Status.WARNING
    assert "height 900,001, 302 bytes" in found["coinbase"].evidence


def test_a_clock_that_is_off() -> None:
    with StratumServer(shared_of(work_now(ntime=int(time.time()) - 3600))) as server:
        found = findings(server.port)["ntime"]
    assert found.status is Status.WARNING
    assert re.match(r"360\d s behind", found.evidence)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path_factory.mktemp("tls")))
    return context


def test_tls(certificate: ssl.SSLContext) -> None:
    with StratumServer(shared_of(), tls=certificate) as server:
        code, said = run(server.port, "--tls")
        assert code == 0, said
        assert "TLSv1.3, certificate verification fails (self-signed certificate)" in said
        code, said = run(server.port)
        assert code == 1
        assert f"127.0.0.1:{server.port} expects TLS\n" in said
        assert "try it with --tls" in said


def test_tls_where_there_is_none() -> None:
    with StratumServer(shared_of()) as server:
        assert "connect: 127.0.0.1" in only_failure(found := findings(server.port, tls=True))
    assert "does not speak TLS" in found["connect"].evidence


def test_tls_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stratum_link, "CONNECT_SECS", 0.2)
    with RudeServer(silent) as server:
        assert "does not answer a TLS ClientHello within 0 s" in only_failure(findings(server.port, tls=True))


# Servers that are none


def silent(connection: socket.socket) -> None:
    """Reads and says nothing."""
    while connection.recv(65536):
        pass


def saying(data: bytes) -> Callable[[socket.socket], None]:
    """Says this to the first line, and reads on."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)
        silent(connection)

    return behave


def endless(piece: bytes) -> Callable[[socket.socket], None]:
    """Sends this without end."""

    def behave(connection: socket.socket) -> None:
        while True:
            connection.sendall(piece)

    return behave


def hang_up(connection: socket.socket) -> None:
    """Closes at once."""
    connection.recv(65536)


def reset(connection: socket.socket) -> None:
    """Breaks the connection off."""
    connection.recv(1)  # not before the client is connected
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def refusing(connection: socket.socket) -> None:
    """Says why it serves nobody, and hangs up."""
    connection.recv(65536)
    connection.sendall(b'{"id":null,"result":null,"error":[20,"no work: \\u001b[2J",null]}\n')


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    code, said = run(port)
    assert code == 1
    assert f"failed   connect                      127.0.0.1:{port} refuses connections\n" in said
    assert "subscribe" not in said


def test_a_host_that_is_none() -> None:
    done = CliRunner().invoke(app, ["try-stratum", "no-such-host.invalid:3333"])
    assert done.exit_code == 1
    assert "cannot connect to no-such-host.invalid:3333: " in done.output


@pytest.mark.parametrize(
    ("behave", "fault"),
    [
        (silent, "subscribe: no answer to mining.subscribe within 0 s"),
        (hang_up, "configure: HERE closed the connection before sending anything"),
        (reset, "configure: HERE closed the connection before sending anything: Connection reset by peer"),
        (
            saying(b"HTTP/1.1 400 Bad \x1b[31mRequest\r\nServer: x\r\n\r\n"),
            "configure: HERE speaks HTTP, not Stratum: HTTP/1.1 400 Bad \\x1b[31mRequest",
        ),
        (saying(b"\x15\x03\x01\x00\x02\x02\x46"), "configure: HERE expects TLS"),
        (endless(b"\x1b[2J" * 100), "configure: HERE sends an overlong line, beginning with \\x1b[2J"),
        (endless(b"\n"), "subscribe: no answer to mining.subscribe within 0 s"),
        (refusing, "configure: HERE closed the connection; its last message was 'no work: "),
    ],
)
def test_what_is_no_stratum_server(behave: Callable[[socket.socket], None], fault: str) -> None:
    with RudeServer(behave) as server:
        said = only_failure(findings(server.port, patience=MUTE if "no answer" in fault else PATIENT))
    assert said.replace(f"127.0.0.1:{server.port}", "HERE").startswith(fault)


def test_garbage_is_counted_and_shown_escaped() -> None:
    with RudeServer(endless(b"\x1b[2J garbage \xff\n")) as server:
        found = findings(server.port, patience=MUTE)
    assert re.match(r"\d+ invalid lines; the first: a line that is no JSON: \\x1b\[2J garbage", found["lines"].evidence)
    assert found["subscribe"].status is Status.FAILED


# Servers that get one thing wrong


class Scripted:
    """Answers each method as told; a value that is bytes is sent as it is, None is no answer."""

    def __init__(self, **answers: Any) -> None:
        job = ["j", "00" * 32, *_halves(), [], "20000000", "17030000", f"{int(time.time()):08x}", True]
        self.answers: dict[str, Any] = {
            "configure": {"version-rolling": True, "version-rolling.mask": "1fffe000"},
            "subscribe": [[["mining.notify", "s"]], "a1000007", 8],
            "authorize": True,
            "suggest_difficulty": True,
            "submit": False,
            "no_such_method": False,
            "after authorize": [("mining.set_difficulty", [1e-9]), ("mining.notify", job)],
        }
        self.answers.update(answers)

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for text in lines:
                asked = json.loads(text)
                name = asked["method"].removeprefix("mining.")
                answer = self.answers[name]
                if answer == b"close":
                    return
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                elif answer is not None:
                    connection.sendall(
                        json.dumps({"id": asked["id"], "result": answer, "error": None}).encode() + b"\n"
                    )
                if name == "authorize":
                    for method, params in self.answers["after authorize"]:
                        told = {"id": None, "method": method, "params": params}
                        connection.sendall(json.dumps(told).encode() + b"\n")


def _halves() -> tuple[str, str]:
    job = shared_of().board.job_after(-1, Audience())
    return job.prefix.hex(), job.suffix.hex()


def job_with(**changes: Any) -> list[tuple[str, list[Any]]]:
    """What comes after the login: a difficulty, and a job with other parameters, by place p0 to p8."""
    told: list[tuple[str, list[Any]]] = Scripted().answers["after authorize"]
    params = list(told[1][1])
    for place, value in changes.items():
        params[int(place[1:])] = value
    return [told[0], ("mining.notify", params)]


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({"submit": True}, "duplicate share: accepted although it is invalid"),
        ({"subscribe": [[], "zz", 4]}, "subscribe: extranonce1 is not in hex digits"),
        ({"subscribe": [[], "aa", 99]}, "subscribe: the size of extranonce2 is not between 1 and 32 bytes"),
        ({"subscribe": [[], "aa", 0]}, "subscribe: the size of extranonce2 is not between 1 and 32 bytes"),
        ({"subscribe": "\x1b]0;x\x07"}, "subscribe: the answer to mining.subscribe is no list of three"),
        ({"configure": {"version-rolling": True, "version-rolling.mask": "ffffffff"}}, "configure: the mask ffffffff"),
        ({"authorize": False}, "authorize: rig is refused: no reason given"),
        ({"authorize": None}, "authorize: no answer to mining.authorize within 1 s"),
        ({"authorize": b"close"}, "authorize: 127.0.0.1"),
        ({"after authorize": []}, "first job: no job within 0 s"),
        ({"submit": False}, "share: found after"),
        ({"submit": None}, "share: no answer to mining.submit within 1 s"),
        ({"no_such_method": b"close", "submit": b"close"}, "share: 127.0.0.1"),
        ({"after authorize": job_with(p2="01")}, "coinbase: the halves make no transaction: "),
        ({"after authorize": job_with(p6="207fffff")[1:]}, "network target: nbits 207fffff"),
        ({"subscribe": [[], "a1000007", 7]}, "coinbase: the halves make no transaction: "),
    ],
)
def test_one_wrong_thing_is_named(answers: dict[str, Any], fault: str) -> None:
    silences = {"no answer to": {"answer_secs": 1.0}, "no job": {"first_job_secs": 0.5}, "nbits": {"quiet_secs": 0.3}}
    expected = next((secs for words, secs in silences.items() if words in fault), {})
    with RudeServer(Scripted(**answers)) as server:
        found = findings(server.port, patience=replace(PATIENT, **expected))
    first = next(each for each in found.values() if each.status is Status.FAILED)
    assert f"{first.check}: {first.evidence}".startswith(fault)


def test_a_job_that_cannot_be_used_is_told_with_its_line() -> None:
    with RudeServer(Scripted(**{"after authorize": job_with(p6="\x1b[31m")})) as server:
        found = findings(server.port, patience=replace(PATIENT, first_job_secs=1.0))
    assert found["first job"].evidence == "no job within 1 s: nbits is not in hex digits"
    assert found["lines"].evidence.startswith("1 invalid lines; the first: nbits is not in hex digits: {")


def test_messages_to_people_are_shown() -> None:
    message = ("client.show_message", ["\x1b[31mhello"])
    with RudeServer(Scripted(**{"after authorize": [*job_with(), message]})) as server:
        found = findings(server.port)
    assert found["lines"].evidence == "all lines valid; client.show_message '\\\\x1b[31mhello'"


def test_an_unknown_method_that_closes_the_connection() -> None:
    with RudeServer(Scripted(no_such_method=b"close")) as server:
        found = findings(server.port, wait_secs=5)
    assert found["unknown method"].status is Status.FAILED
    assert found["another job"].evidence == "the connection is closed"


@pytest.mark.parametrize(
    ("answers", "step", "warned"),
    [
        ({"configure": None}, "configure", "no answer within 0 s"),
        ({"no_such_method": None}, "unknown method", "no answer within 0 s; the connection is open"),
        ({"after authorize": job_with()[1:]}, "difficulty", "none was set before the first job"),
        ({"after authorize": job_with(p3=_halves()[1].replace("6a24aa21a9ed", "6a24aa21a9ee"))}, "coinbase", "height"),
        (
            {"subscribe": [[], "00" * 3, 9]},
            "subscribe",
            "extranonce1 000000 of 3 bytes, extranonce2 of 9, no session id",
        ),
        ({"subscribe": [[], "00" * 11, 1]}, "subscribe", "extranonce1 "),
    ],
)
def test_what_some_miners_could_stumble_over(answers: dict[str, Any], step: str, warned: str) -> None:
    with RudeServer(Scripted(**answers)) as server:
        found = findings(server.port, patience=QUIET)
    assert found[step].status is Status.WARNING
    assert found[step].evidence.startswith(warned)


def test_version_rolling_can_be_left_out() -> None:
    with RudeServer(Scripted(configure={"version-rolling": False})) as server:
        assert findings(server.port)["configure"].evidence == "no version rolling"
    with RudeServer(Scripted(configure=False)) as server:
        evidence = findings(server.port)["configure"].evidence
    assert evidence == "refused: no reason given; no version rolling"


def test_it_needs_no_extra() -> None:
    code = "import sys, solominer.doctor.stratum_trial\nprint({'msgspec', 'numba', 'uvloop'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


# Arguments


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("127.0.0.1:3333", Server("127.0.0.1", 3333, False)),
        ("stratum+tcp://pool.example:3333/", Server("pool.example", 3333, False)),
        ("STRATUM+SSL://pool.example:4333", Server("pool.example", 4333, True)),
        ("[::1]:65535", Server("::1", 65535, False)),
    ],
)
def test_addresses_of_servers(text: str, server: Server) -> None:
    assert parse_server(text) == server
    assert str(server).endswith(f":{server.port}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        ":3333",
        "host:",
        "host:0",
        "host:65536",
        "host:３３３３",
        "host:+5",
        "http://host:80",
        "::1:3333",
        "a b:1",
        "\x1b:1",
        "x" * 300 + ":1",
    ],
)
def test_what_is_no_address_of_a_server(text: str) -> None:
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        parse_server(text)
    assert parse_server("[::1]:1", tls=True).tls
    done = CliRunner().invoke(app, ["try-stratum", "host:1", "--seconds", "-1"])
    assert done.exit_code == 2
