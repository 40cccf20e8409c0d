"""The doctor on Stratum listeners: plays a miner against those of a running daemon, else says if they could listen."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import pytest

from solominer.chain.encode_address import address_of
from solominer.chain.networks import REGTEST
from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon.daemon import Run
from solominer.daemon.every_run import RunOptions
from solominer.doctor import examination, listener_checks
from solominer.doctor.check import Finding, Status
from solominer.doctor.listener_checks import examine_listeners
from solominer.doctor.stratum_talk import Patience
from solominer.engines.stratum.tls import server_context
from solominer.errors import EngineError
from solominer.records.control_client import running_in
from solominer.views.logs import RecentEvents
from solominer.work.payout import Payout
from solominer.work.ports import Node, Post
from tests.engines.stratum.pem import make_certificate
from tests.fakes import PAYOUT, FakeNode, FakeNodes
from tests.ports import free_port

SHORT = Patience(10.0, 3.0, 20.0, 1.0)
OWN = address_of(PAYOUT.script_pubkey, REGTEST)
OTHER = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
SCRIPT = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")


def config_of(folder: Path, *listeners: Any, **values: Any) -> Config:
    values = {"mode": "test", "data_dir": str(folder), "cpu_workers": 0, "stratum": list(listeners)} | values
    return load_config(overrides=values, environ={})


def reds(found: dict[str, Finding]) -> list[str]:
    return [each.check for each in found.values() if each.status is Status.FAILED]


class Nodes(FakeNodes):
    """One node that knows the scripts of two addresses."""

    async def __call__(self, config: Config, post: Post, stack: AsyncExitStack) -> dict[str, Node]:
        return {"a": _Knowing("a", post, self.chain, payout=Payout(PAYOUT.script_pubkey, OWN))}


class _Knowing(FakeNode):
    async def payout(self, address: str) -> Payout:
        return Payout(SCRIPT, OTHER) if address == OTHER else await super().payout(address)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[None]:
    """A daemon on a fake node, whose miners have work."""
    run = Run(config, RunOptions(), RecentEvents(), [], Nodes())
    task = asyncio.create_task(run.run())
    try:
        async with asyncio.timeout(60):
            while not (run.executor and run.executor.coordinator.working and running_in(config.records_dir)):
                assert not task.done(), task.result()
                await asyncio.sleep(0.01)
        yield
    finally:
        run.stop()
        assert await asyncio.wait_for(task, 60) == 0


def seen(config: Config) -> Awaitable[list[dict[str, Finding]]]:
    """The findings on each listener, by check; meanwhile the daemon's loop goes on."""

    def find() -> list[dict[str, Finding]]:
        found: dict[str, dict[str, Finding]] = {}
        for each in examine_listeners(config, SHORT):
            found.setdefault(each.subject, {})[each.check] = each
        return list(found.values())

    return asyncio.to_thread(find)


async def test_a_listener_for_stratum_v2_alone(tmp_path: Path) -> None:
    listener = {"listen": f"127.0.0.1:{free_port()}", "v2": "only", "proxies": ["127.0.0.1"], "payout": "miner"}
    config = config_of(tmp_path / "data", listener)
    async with running(config):
        (found,) = await seen(config)
        assert reds(found) == []
        assert "vouches for the server" in found["handshake"].evidence
        assert found["standard channel"].status is Status.OK
        assert re.fullmatch(rf"[\d.]+ BTC in all \(regtest\): [\d.]+ BTC to {OWN}", found["outputs"].evidence)
        assert "stratum2+tcp://" in found["address"].evidence
        assert "share" not in found, "nothing is submitted"


async def test_a_miner_is_played_against_each_listener_of_a_running_daemon(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path / "tls", "miner.lan")
    ports = [free_port() for _ in range(3)]
    config = config_of(
        tmp_path / "data",
        f"0.0.0.0:{ports[0]}",
        {"listen": f"127.0.0.1:{ports[1]}", "proxies": ["127.0.0.1"], "payout": "miner"},
        {"listen": f"127.0.0.1:{ports[2]}", "tls_certificate": str(certificate), "tls_key": str(key)},
        f"unix:{tmp_path}/s.sock",
    )
    async with running(config):
        plain, proxied, tls, unix = await seen(config)
        for found in (plain, proxied, tls, unix):
            assert reds(found) == []
            assert found["authorize"].evidence == f"{OWN}.solominer-doctor is accepted"
            assert re.match(r"job \w+ after \d+ ms, clean_jobs", found["first job"].evidence)
            assert re.fullmatch(rf"[\d.]+ BTC in all \(regtest\): [\d.]+ BTC to {OWN}", found["outputs"].evidence)
            assert "share" not in found, "nothing is submitted"
        assert plain["address"].status is Status.OK
        assert "0.0.0.0" not in plain["address"].evidence
        assert f":{ports[0]}; firewalls must allow port {ports[0]}" in plain["address"].evidence
        assert proxied["address"].status is Status.OK
        assert tls["address"].status is Status.WARNING
        assert (
            f"only miners on this machine can connect, to stratum+ssl://127.0.0.1:{ports[2]}" in tls["address"].evidence
        )
        assert tls["certificate"].evidence == "for miner.lan, valid for 30 more days"
        assert unix["address"].evidence == "only programs on this machine"

        make_certificate(certificate.parent, "other.lan")
        (_, _, tls, _) = await seen(config)
        assert tls["certificate"].status is Status.WARNING
        assert "uses an older certificate" in tls["certificate"].evidence


async def test_what_differs_from_the_running_daemon_is_said(tmp_path: Path) -> None:
    """The configuration was changed since it started."""
    port = free_port()
    async with running(config_of(tmp_path, f"127.0.0.1:{port}")):
        (found,) = await seen(config_of(tmp_path, f"127.0.0.1:{port}", payout_address=OTHER))
        assert reds(found) == ["outputs"]
        assert f"BTC to {OWN}; expected 100 % to {OTHER}" in found["outputs"].evidence
        (found,) = await seen(config_of(tmp_path, f"127.0.0.1:{free_port()}"))
        assert reds(found) == ["connect"]
        assert "refuses connections" in found["connect"].evidence
        assert "solominer reload" in found["connect"].todo
        assert found["first job"].status is Status.SKIPPED


async def test_a_split_must_be_paid_to_the_satoshi(tmp_path: Path) -> None:
    port = free_port()

    def split(points: int) -> Config:
        parts = [{"address": OTHER, "basis_points": points}]
        return config_of(tmp_path, f"127.0.0.1:{port}", payout_address=OWN, payout_split=parts)

    async with running(split(1234)):
        (found,) = await seen(split(1234))
        assert reds(found) == []
        assert f"BTC to {OTHER}" in found["outputs"].evidence
        (found,) = await seen(split(1235))
        assert reds(found) == ["outputs"]
        assert f"expected 87.65 % to {OWN}, 12.35 % to {OTHER}" in found["outputs"].evidence


async def test_a_group_is_shown_with_all_whom_it_pays(tmp_path: Path) -> None:
    listener = {"listen": f"127.0.0.1:{free_port()}", "payout": "group"}
    config = config_of(tmp_path, listener, payout_address=OWN)
    async with running(config):
        (found,) = await seen(config)
    assert reds(found) == []
    assert found["outputs"].evidence.startswith("the group: ")


async def test_a_simulation_pays_nobody(tmp_path: Path) -> None:
    config = config_of(tmp_path, f"127.0.0.1:{free_port()}", mode="demo", network="regtest")
    async with running(config):
        (found,) = await seen(config)
        assert reds(found) == []
        assert found["outputs"].status is Status.SKIPPED


# While no daemon runs


def look(config: Config) -> dict[str, Finding]:
    """The findings on the only listener, by check."""
    return {each.check: each for each in examine_listeners(config, SHORT)}


def test_without_a_daemon_all_that_it_needs_is_there(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path / "tls", "miner.lan", "pool.lan")
    listener = {"listen": f"localhost:{free_port()}", "tls_certificate": str(certificate), "tls_key": str(key)}
    found = look(config_of(tmp_path, listener))
    assert [each.status for each in found.values()] == [Status.OK, Status.WARNING, Status.OK]
    assert found["listen"].evidence == "the daemon is not running, and the port is free"
    assert found["certificate"].evidence == "for miner.lan, pool.lan, valid for 30 more days"
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    assert reds(look(config_of(tmp_path, f"unix:{path}"))) == []
    assert path.is_socket(), "it is only looked at"


@contextmanager
def taken(folder: Path) -> Iterator[tuple[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}", "set another port"


@contextmanager
def taken_socket(folder: Path) -> Iterator[tuple[str, str]]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s.sock")
        server.listen()
        yield f"unix:{folder}/s.sock", "set another path"


@contextmanager
def file_in_place(folder: Path) -> Iterator[tuple[str, str]]:
    (folder / "file").write_text("")
    yield f"unix:{folder}/file", "remove it"


@contextmanager
def closed_folder(folder: Path) -> Iterator[tuple[str, str]]:
    access = os.access
    with pytest.MonkeyPatch.context() as patch:  # root may write anywhere
        patch.setattr(os, "access", lambda path, mode: path != folder and access(path, mode))
        yield f"unix:{folder}/s.sock", "set another path"


def plainly(listen: str, says: str) -> Callable[[Path], AbstractContextManager[tuple[str, str]]]:
    return lambda folder: nullcontext((listen, says))


def refused_port(error: int, says: str) -> Callable[[Path], AbstractContextManager[tuple[str, str]]]:
    @contextmanager
    def refuse(folder: Path) -> Iterator[tuple[str, str]]:
        def create_server(*args: Any, **options: Any) -> NoReturn:
            raise OSError(error, os.strerror(error))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "create_server", create_server)
            yield "127.0.0.1:999", says

    return refuse


@pytest.mark.parametrize(
    "fault",
    [
        taken,
        plainly("192.0.2.1:3333", "0.0.0.0 for all"),
        plainly("no.such.host.invalid:3333", "set another address"),
        refused_port(errno.EACCES, "set a port of 1024 or above"),
        refused_port(errno.EMFILE, "set another address"),
        plainly("unix:/nonexistent/s.sock", "create it"),
        taken_socket,
        file_in_place,
        closed_folder,
    ],
)
def test_what_keeps_it_from_listening(
    fault: Callable[[Path], AbstractContextManager[tuple[str, str]]], tmp_path: Path
) -> None:
    with fault(tmp_path) as (listen, says):
        found = look(config_of(tmp_path / "data", listen))
    assert reds(found) == ["listen"]
    assert says in found["listen"].todo


def bad_certificate(folder: Path, kind: str) -> tuple[Path, Path]:
    certificate, key = make_certificate(folder / "one")
    match kind:
        case "key of another one":
            key = make_certificate(folder / "two")[1]
        case "missing":
            certificate.unlink()
        case "encrypted":
            certificate, key = make_certificate(folder / "three", password=b"secret")
        case "nonsense":
            certificate.write_text("nonsense")
        case "expired":
            certificate, key = make_certificate(folder / "four", days=-1)
    return certificate, key


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("key of another one", "the key is of another certificate"),
        ("missing", "No such file or directory"),
        ("encrypted", "the key is encrypted"),
        ("nonsense", "there is no certificate or no key in PEM"),
        ("expired", "certificate has expired"),
    ],
)
def test_a_certificate_that_cannot_be_used(kind: str, says: str, tmp_path: Path) -> None:
    certificate, key = bad_certificate(tmp_path, kind)
    listener = {"listen": "127.0.0.1:0", "tls_certificate": str(certificate), "tls_key": str(key)}
    found = look(config_of(tmp_path, listener | {"listen": f"127.0.0.1:{free_port()}"}))
    assert reds(found) == ["certificate"]
    assert says in found["certificate"].evidence
    assert str(certificate) in found["certificate"].evidence
    assert found["certificate"].todo
    if kind != "expired":  # a server starts with that one: miners seldom look
        with pytest.raises(EngineError, match=says):
            server_context(str(certificate), str(key))


@pytest.mark.parametrize(("names", "days", "todo"), [((), 30.0, "create one for the host"), (("a",), 5.0, "renew it")])
def test_a_certificate_that_will_not_do_for_long(
    names: tuple[str, ...], days: float, todo: str, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path / "tls", *names, days=days)
    listener = {"listen": f"127.0.0.1:{free_port()}", "tls_certificate": str(certificate), "tls_key": str(key)}
    found = look(config_of(tmp_path, listener))["certificate"]
    assert found.status is Status.WARNING
    assert todo in found.todo


def test_a_machine_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_checks, "reachable", lambda url: [url])
    found = look(config_of(tmp_path, f"0.0.0.0:{free_port()}"))["address"]
    assert found.status is Status.WARNING
    assert "no network address" in found.evidence


def test_the_doctor_looks_at_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "machine_checks", lambda config, path: [])
    config = config_of(tmp_path, f"127.0.0.1:{free_port()}", mode="demo")
    assert [each.check for each in examination.examine(config, None)] == ["node", "listen", "address"]
