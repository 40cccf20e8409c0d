"""bitcoin.conf as the node itself reads it: sections, prefixes, includes, negations, and what comes first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.operate.bitcoinconf import BitcoinConf, is_bitcoind, parse_command_line, parse_conf, read_conf

CONF = """\
# a comment
server=1
rpcuser = alice   # behind a value
rpcport=8000
regtest.rpcport=18000
zmqpubhashblock=tcp://127.0.0.1:1
nolisten=1

[regtest]
rpcport=18001
zmqpubhashblock=tcp://127.0.0.1:2
rpcpassword=a=b
[signet]
rpcport=38000
"""


def conf_of(text: str) -> BitcoinConf:
    return BitcoinConf(tuple(parse_conf(text)))


def test_sections_and_prefixes_come_before_what_is_outside() -> None:
    conf = conf_of(CONF)
    assert conf.values("rpcport", "regtest") == ["18000", "18001"]
    assert conf.get("rpcport", "signet") == "38000"
    assert conf.get("rpcport", "mainnet") == "8000"
    assert conf.get("rpcport", "testnet4") is None  # outside of sections it is for mainnet alone
    assert conf.values("zmqpubhashblock", "regtest") == ["tcp://127.0.0.1:2", "tcp://127.0.0.1:1"]
    assert conf.get("rpcuser", "regtest") == "alice"
    assert conf.get("rpcpassword", "regtest") == "a=b"
    assert conf.get("listen", "mainnet") == "0"


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("regtest=1", "regtest"),
        ("chain=main", "mainnet"),
        ("chain=test", "testnet3"),
        ("testnet4=1", "testnet4"),
        ("regtest=0\nsignet=1", "signet"),
        ("[regtest]\nrpcport=1", None),
        ("chain=nonsense", None),
    ],
)
def test_network(text: str, network: str | None) -> None:
    assert conf_of(text).network == network


def test_includes_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "bitcoin.conf").write_text("includeconf=more.conf\nincludeconf=missing.conf\nrpcuser=first\n")
    (tmp_path / "more.conf").write_text("rpcuser=second\nrpcpassword=pw\nincludeconf=third.conf\n")
    (tmp_path / "third.conf").write_text("server=1\n")
    conf = read_conf(tmp_path / "bitcoin.conf", tmp_path)
    assert conf.values("rpcuser", "mainnet") == ["first", "second"]
    assert conf.get("rpcpassword", "mainnet") == "pw"
    assert conf.get("server", "mainnet") is None
    (problem,) = conf.problems
    assert "missing.conf" in problem


def test_missing_file_has_no_settings_and_a_folder_is_a_problem(tmp_path: Path) -> None:
    assert read_conf(tmp_path / "none", tmp_path) == BitcoinConf()
    assert "cannot be read" in read_conf(tmp_path, tmp_path).problems[0]


def test_command_line_wins_over_the_file() -> None:
    told = parse_command_line(["-regtest", "--rpcport=5", "-nolisten", "-datadir=/x y", "positional"])
    conf = told.over(conf_of(CONF))
    assert conf.network == "regtest"
    assert conf.get("rpcport", "regtest") == "5"
    assert conf.get("datadir", "mainnet") == "/x y"
    assert conf.get("listen", "regtest") == "0"


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["/usr/bin/bitcoind", "-regtest"], 1),
        (["/lib/ld-linux.so.2", "--library-path", "/lib", "/x/bitcoind", "-daemon=0"], 4),
        (["python", "-m", "guard", "--bitcoind"], None),
        (["bitcoin-cli", "stop"], None),
        ([], None),
    ],
)
def test_which_processes_are_nodes(arguments: list[str], start: int | None) -> None:
    assert is_bitcoind(arguments) == start


@given(st.text())
def test_no_text_makes_the_parser_fail(text: str) -> None:
    for setting in parse_conf(text):
        assert "\n" not in setting.value
