"""scripts/stratum-load, each mode with a few connections, against a server built on the sessions."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from solominer.engines.stratum.shared import PayTo
from tests.engines.stratum.builders import make_shared, make_work
from tests.engines.stratum.serving import RudeServer, StratumServer

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/stratum-load"
EVERY_HASH = "x=1e-10"  # a password: the difficulty at which every hash is a share


@pytest.fixture
def server() -> Iterator[StratumServer]:
    with StratumServer(make_shared(make_work())) as serving:
        yield serving


def command(port: int, *args: str) -> list[str]:
    return [sys.executable, str(SCRIPT), f"127.0.0.1:{port}", *args]


def run(port: int, *args: str) -> dict[str, Any]:
    """The line of JSON of a run."""
    words = command(port, "--connections", "3", "--seconds", "0.5", "--password", EVERY_HASH, "--json", *args)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("loop", [[], ["--no-uvloop"]], ids=["uvloop", "asyncio"])
def test_shares(server: StratumServer, loop: list[str]) -> None:
    result = run(server.port, "--mode", "shares", "--in-flight", "50", "--batch", "20", *loop)
    assert result["replies"] > 100
    assert result["refused"] == 0, result["first_refusal"]
    assert result["replies_per_sec"] == pytest.approx(result["replies"] / result["secs"], rel=0.01)
    assert (result["connections"], result["lost"]) == (3, 0)


def test_packets(server: StratumServer) -> None:
    result = run(server.port, "--mode", "packets", "--in-flight", "2")
    assert result["replies"] > 10
    assert result["refused"] == 0, result["first_refusal"]
    assert 0 < result["round_trip_ms"]["median"] <= result["round_trip_ms"]["last"]


def test_steady(server: StratumServer) -> None:
    result = run(server.port, "--mode", "steady", "--per-minute", "1200")
    assert result["sent"] > 0
    assert result["refused"] == 0, result["first_refusal"]


def test_shares_follow_the_tip(server: StratumServer) -> None:
    words = command(server.port, "--seconds", "1", "--in-flight", "20", "--password", EVERY_HASH, "--json")
    tallies = server.shared.tallies.by_name
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as load:
        deadline = time.monotonic() + 20
        while not ("load.1" in tallies and tallies["load.1"].accepted) and time.monotonic() < deadline:
            time.sleep(0.001)
        server.publish(make_work(2, 2))
        out, errors = load.communicate(timeout=30)
    assert errors == ""
    result = json.loads(out)
    assert result["refused"] <= 10 * 20, "no more than were on their way"
    assert result["accepted"] > 0


def test_connect(server: StratumServer) -> None:
    result = run(server.port, "--mode", "connect", "--connections", "20")
    assert (result["ready"], result["lost"]) == (20, 0)
    assert 0 < result["subscribed_ms"]["first"] <= result["job_ms"]["last"]


@pytest.mark.parametrize("told", ["{now}\n", "now\n", ""], ids=["a time", "a line", "nothing"])
def test_tips(server: StratumServer, told: str) -> None:
    words = command(server.port, "--mode", "tips", "--connections", "5", "--seconds", "20", "--json")
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as load:
        assert load.stderr is not None
        assert load.stderr.readline() == "ready 5\n"
        server.publish(make_work(2))  # on the same tip: its jobs are not clean
        before = time.monotonic()
        server.publish(make_work(3, 2))
        out, errors = load.communicate(told.format(now=before), timeout=30)
    assert errors == ""
    result = json.loads(out)
    assert (result["received"], result["missing"]) == (5, 0)
    assert result["counted_from"] == ("stdin" if told else "first receipt")
    if "now}" in told:
        assert 0 < result["tip_ms"]["first"] <= result["tip_ms"]["last"] < 20_000
    elif not told:
        assert result["tip_ms"]["first"] == 0


def test_refused_shares_are_counted_apart(server: StratumServer) -> None:
    result = run(server.port, "--mode", "packets", "--password", "x=0.5")
    assert result["accepted"] == 0
    assert result["refused"] == result["replies"] > 0
    assert '[23,"Above target",null]' in result["first_refusal"]


def test_for_people(server: StratumServer) -> None:
    words = command(server.port, "--mode", "connect", "--connections", "2")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(
        "mode             connect\nconnections      2\nready            2\nlost             0\n"
    )


def test_nobody_listens_or_lets_it_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    done = subprocess.run(command(port), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "no connection got a job" in done.stderr
    assert run(port, "--mode", "connect")["lost"] == 3
    with RudeServer(lambda connection: None) as rude:
        assert run(rude.port, "--mode", "connect")["lost"] == 3
    with StratumServer(make_shared(make_work(), pay_to=PayTo.MINER)) as choosy:
        words = command(choosy.port, "--login-secs", "0.5")
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "the username must be a Bitcoin address" in done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["host"], "'host' is no HOST:PORT"),
        (["host:0"], "'host:0' is no HOST:PORT"),
        (["host:1", "--connections", "0"], "numbers must be above 0"),
        (["host:1", "--mode", "dance"], "invalid choice"),
    ],
)
def test_arguments(args: list[str], told: str) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert told in done.stderr


def test_help() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "-h"], capture_output=True, text=True, timeout=60, check=True)
    assert "replies a second" in done.stdout
    assert "--per-minute" in done.stdout
