"""The conversation of `init`, with a person who answers: what is asked, and that a wrong answer is asked for again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from solominer.config.models import RpcConfig, ZmqConfig
from solominer.errors import ConfigError, PayoutError
from solominer.setup import dialog as setup
from solominer.setup.bitcoin_conf import NodeConf
from solominer.setup.dialog import Answers, set_up
from solominer.setup.find_nodes import NodeCandidate
from solominer.setup.init import Probed, missing_lines, refuse_existing, write_config, zmq_choices

ZMQ = ZmqConfig(hashblock="tcp://127.0.0.1:1", sequence="tcp://127.0.0.1:2")


class Person:
    """Gives one answer after the other, and remembers the questions."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []

    def __call__(self, question: str, default: str) -> str:
        self.questions.append(question)
        return self.answers.pop(0)


def node(network: str, port: int, problem: str = "", *, zmq: ZmqConfig = ZMQ, version: int = 280_000) -> Probed:
    rpc = RpcConfig(name=f"{network}:{port}", port=port, cookie_file=Path("/cookie"))
    return Probed(rpc, network, "/folder", problem, 100, version, "/Satoshi/", zmq)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Probed]:
    """The nodes of this machine, to be filled by the test."""
    found: list[Probed] = []
    candidates = [NodeCandidate(Path("/folder"), "mainnet", NodeConf())] * 9
    problems = ["bitcoin.conf includes more.conf, which is not there"]
    monkeypatch.setattr(setup, "find_nodes", lambda folders: (candidates[: len(found)], problems))
    order = iter(found)
    monkeypatch.setattr(setup, "probe", lambda candidate, more: found[0] if len(found) == 1 else next(order))
    return found


@pytest.fixture
def payouts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were put to the node, which takes only one that is called good."""
    asked: list[str] = []

    def check(node: Probed, address: str) -> None:
        asked.append(address)
        if address != "good":
            raise PayoutError(f"{address} is not valid", "take another")

    monkeypatch.setattr(setup, "check_payout", check)
    return asked


def test_asks_for_the_network_and_again_for_an_address(nodes: list[Probed], payouts: list[str], tmp_path: Path) -> None:
    nodes += [node("mainnet", 8332), node("regtest", 18443), node("mainnet", 9332), node("signet", 1, "is not there")]
    person, said = Person("mainnet", "bad", "good"), list[str]()
    set_up(tmp_path / "config.json", Answers(), ask=person, say=said.append)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["mode"] == "production"
    assert (values["bitcoin_rpc"]["port"], values["more_nodes"][0]["port"]) == (8332, 9332)
    assert values["payout_address"] == "good"
    assert payouts == ["bad", "good"]
    assert [question.partition(" ")[0] for question in person.questions] == ["which", "your", "your"]
    text = "\n".join(said)
    assert "note: bitcoin.conf includes more.conf" in text
    assert "is not there" in text
    assert "bad is not valid" in text
    assert "solominer doctor" in text


def test_replacing_a_file_wants_a_yes(nodes: list[Probed], tmp_path: Path) -> None:
    nodes.append(node("regtest", 18443))
    path = tmp_path / "config.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="already exists"):
        set_up(path, Answers(), ask=Person("no"), say=lambda text: None)
    set_up(path, Answers(), ask=Person("yes", ""), say=lambda text: None)
    assert json.loads(path.read_text())["mode"] == "regtest"
    assert "payout_address" not in json.loads(path.read_text())


@pytest.mark.parametrize(
    ("found", "answers", "says"),
    [
        ([], Answers(), "found no node on this machine"),
        ([node("mainnet", 1, "broken")], Answers(), "found no usable node"),
        ([node("mainnet", 1), node("signet", 2)], Answers(), "several networks"),
        ([node("mainnet", 1)], Answers(), "payout address is required"),
        ([node("mainnet", 1)], Answers(network="regtest"), "found no node on regtest"),
        ([], Answers(rpc="host"), "is not HOST:PORT"),
        ([], Answers(rpc="host:1"), "requires one login"),
        ([], Answers(rpc="host:1", username="a:b", password_file=Path("/x")), "invalid node"),
        (
            [],
            Answers(rpc="host:1", password_file=Path("/x"), cookie_file=Path("/y"), username="a"),
            "requires one login",
        ),
        ([], Answers(rpc="host:1", password_file=Path("/x")), "requires --username"),
    ],
)
def test_where_nobody_can_be_asked_it_says_what_is_missing(
    found: list[Probed], answers: Answers, says: str, nodes: list[Probed], tmp_path: Path
) -> None:
    nodes += found
    with pytest.raises(ConfigError, match=says):
        set_up(tmp_path / "config.json", answers, ask=None, say=lambda text: None)
    assert not (tmp_path / "config.json").exists()


def test_missing_lines() -> None:
    bare = [line.line for line in missing_lines(node("mainnet", 1, zmq=ZmqConfig(), version=300_000))]
    assert bare == [
        "zmqpubhashblock=tcp://127.0.0.1:28332",
        "zmqpubsequence=tcp://127.0.0.1:28333",
        "blockreservedweight=2000",
    ]
    assert missing_lines(node("mainnet", 1)) == []  # older nodes do not know the last one
    assert missing_lines(node("signet", 1, version=300_000)) == []


def test_file_that_cannot_be_written_or_used_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        write_config(tmp_path / "file" / "config.json", {})
    with pytest.raises(ConfigError, match="unknown setting"):
        write_config(tmp_path / "config.json", {"nonsense": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    write_config(tmp_path / "config.json", {"mode": "regtest"})
    with pytest.raises(ConfigError, match="already exists"):
        refuse_existing(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("address", "host", "choices"),
    [
        ("tcp://127.0.0.1:1", "10.0.0.5", ["tcp://127.0.0.1:1"]),
        ("tcp://*:1", "10.0.0.5", ["tcp://10.0.0.5:1"]),
        ("tcp://0.0.0.0:1", "::1", ["tcp://127.0.0.1:1", "tcp://[::1]:1"]),
        ("tcp://[::]:1", "fd00::5", ["tcp://[fd00::5]:1"]),
        ("tcp://[::1]:1", "127.0.0.1", ["tcp://[::1]:1"]),
        ("tcp://eth0:1", "10.0.0.5", ["tcp://eth0:1", "tcp://10.0.0.5:1"]),
        ("ipc:///run/x", "::1", ["ipc:///run/x"]),
    ],
)
def test_where_a_publisher_is_reached(address: str, host: str, choices: list[str]) -> None:
    assert zmq_choices(address, host) == choices


def test_publisher_that_is_not_reached_is_named() -> None:
    far = Probed(RpcConfig(), "mainnet", "/folder", version=280_000, unreachable={"hashblock": "tcp://10.9.9.9:1"})
    lines = {each.line.partition("=")[0]: each.reason for each in missing_lines(far)}
    assert "tcp://10.9.9.9:1" in lines["zmqpubhashblock"]
    assert "tcp://" not in lines["zmqpubsequence"]
