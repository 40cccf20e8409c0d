"""A node's settings as it combines them itself: sections, prefixes, includes, negations, and which value is used.

tests/e2e/test_node_conf.py compares the same rules with a real node.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.chain.networks import NETWORKS
from solominer.setup.bitcoin_conf import (
    NodeConf,
    Value,
    is_bitcoind,
    number_in,
    parse_command_line,
    parse_conf,
    read_node_conf,
    with_saved,
)
from solominer.setup.find_nodes import NodeCandidate, find_nodes, split_host_port

EXAMPLES = int(os.environ.get("SOLOMINER_TEST_EXAMPLES", "200"))

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
[signet] # the public one
rpcport=38000
"""


def conf_of(text: str, *arguments: str) -> NodeConf:
    sections: dict[str, dict[str, list[Value]]] = {}
    for section, key, value in parse_conf(text)[0]:
        sections.setdefault(section, {}).setdefault(key, []).append(value)
    return NodeConf(parse_command_line(arguments), {}, sections)


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
    ("text", "arguments", "key", "value"),
    [
        ("rpcuser=a\nrpcuser=b", (), "rpcuser", "a"),  # the first in the file
        ("rpcuser=a", ("-rpcuser=b", "-rpcuser=c"), "rpcuser", "c"),  # the last of the command line
        ("rpcuser=a\nnorpcuser=1\nrpcuser=b", (), "rpcuser", "b"),
        ("rpcuser=a\nnorpcuser=1", (), "rpcuser", "0"),
        ("rpcuser=a\nnorpcuser=0", (), "rpcuser", "a"),
        ("norpcuser=0", (), "rpcuser", "1"),
        ("rpcuser=a", ("-norpcuser",), "rpcuser", "0"),
        ("rpcport=1\nnorpcport=1", (), "rpcport", "0"),  # a negation outside of sections is for every network
        ("rpcport=1", (), "rpcport", None),
        ("[regtest]\nsignet.rpcport=1", (), "rpcport", None),
        ("[regtest]\nrpcport=1\n[main]\nrpcport=2", (), "rpcport", "1"),
        ("[test]\nrpcport=1\n[]\nrpcport=2", (), "rpcport", None),
        (" [regtest]\t\r\n\t rpcport \t=\t 5 \r\n", (), "rpcport", "5"),
        ("rpcuser=", (), "rpcuser", ""),
        ("rpcuser=a#b", (), "rpcuser", "a"),
        ("rpcuser=a\x0cb\u2028c", (), "rpcuser", "a\x0cb\u2028c"),  # only a line feed ends a line
        ("RPCUSER=a", (), "rpcuser", None),
        ("rpcuser=a", ("--rpcuser=b", "word", "-rpcuser=c"), "rpcuser", "b"),
    ],
)
def test_the_value_that_is_used(text: str, arguments: tuple[str, ...], key: str, value: str | None) -> None:
    assert conf_of(text, *arguments).get(key, "regtest") == value


@pytest.mark.parametrize(
    ("text", "arguments", "values"),
    [
        ("rpcauth=a\nrpcauth=b", ("-rpcauth=c",), ["c", "a", "b"]),
        ("rpcauth=a", ("-norpcauth",), []),
        ("rpcauth=a", ("-norpcauth", "-rpcauth=c"), ["c", "a"]),  # which brings the file's back
        ("rpcauth=a\nnorpcauth=1\nrpcauth=b", (), ["b"]),
        ("rpcauth=a\n[regtest]\nrpcauth=b\nnorpcauth=1", (), []),
        ("rpcauth=a\n[regtest]\nnorpcauth=1\nrpcauth=b", (), ["b", "a"]),
    ],
)
def test_settings_with_several_values(text: str, arguments: tuple[str, ...], values: list[str]) -> None:
    assert conf_of(text, *arguments).values("rpcauth", "regtest") == values


@pytest.mark.parametrize(
    ("text", "arguments", "network"),
    [
        ("regtest=1", (), "regtest"),
        ("chain=main", (), "mainnet"),
        ("chain=test", (), "testnet3"),
        ("testnet=1", (), "testnet3"),
        ("testnet4=1", (), "testnet4"),
        ("regtest=0\nsignet=1", (), "signet"),
        ("regtest=0\nregtest=1", (), "regtest"),  # for these the last one
        ("noregtest=1", (), "mainnet"),
        ("regtest=1", ("-noregtest",), "regtest"),  # which the node ignores
        ("regtest=1", ("-regtest=0",), "mainnet"),
        ("[regtest]\nregtest=1\nrpcport=1", (), "mainnet"),
        ("regtest=", (), "regtest"),
        ("chain=nonsense", (), None),
        ("chain=signet\nchain=main", (), "signet"),
        ("", ("-chain=testnet4",), "testnet4"),
    ],
)
def test_network(text: str, arguments: tuple[str, ...], network: str | None) -> None:
    assert conf_of(text, *arguments).network == network


def test_includes_are_followed_once_and_are_relative_to_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "bitcoin.conf").write_text(
        "regtest=1\nincludeconf=more.conf\nincludeconf=missing.conf\nrpcuser=first\nregtest.includeconf=net.conf\n"
        "signet.includeconf=signet.conf\n"
    )
    (tmp_path / "more.conf").write_text("rpcuser=second\nrpcpassword=pw\nincludeconf=third.conf\nrpcport=3\n")
    (tmp_path / "net.conf").write_text("[regtest]\nrpcport=7\n")
    (tmp_path / "third.conf").write_text("server=1\n")
    conf, datadir = read_node_conf({}, tmp_path, tmp_path)
    assert datadir == tmp_path
    assert conf.values("rpcuser", "regtest") == ["first", "second"]
    assert conf.get("rpcpassword", "regtest") == "pw"
    assert conf.get("rpcport", "regtest") == "7"
    assert conf.get("server", "regtest") is None
    (problem,) = conf.problems
    assert "missing.conf" in problem
    bare, _ = read_node_conf(parse_command_line(["-noincludeconf"]), tmp_path, tmp_path)
    assert (bare.get("rpcpassword", "regtest"), bare.problems) == (None, ())


def test_data_folder_and_conf_named_by_arguments_and_by_the_file(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "other.conf").write_text(f"chain=regtest\n[regtest]\ndatadir={tmp_path}/moved\n")
    told = parse_command_line([f"-conf={tmp_path}/other.conf"])
    conf, datadir = read_node_conf(told, tmp_path / "own", tmp_path)
    assert (conf.network, datadir) == ("regtest", tmp_path / "moved")
    _, datadir = read_node_conf(parse_command_line(["-datadir=own", "-conf="]), Path("/x"), tmp_path)
    assert datadir == tmp_path / "own"
    conf, _ = read_node_conf(parse_command_line(["-conf=gone.conf"]), tmp_path, tmp_path)
    assert "gone.conf does not exist" in conf.problems[0]
    assert read_node_conf(parse_command_line(["-noconf"]), tmp_path, tmp_path)[0].problems == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rpcpassword=ab#cd-secret", "# in rpcpassword"),
        ("-rpcuser=secret", "line 1"),
        ("rpcport=1\nsecret", "line 2"),
        ("conf=secret", "must not set conf"),
        ("\ufeffregtest=1", "byte order mark"),
    ],
)
def test_what_the_node_refuses_is_named_without_its_text(text: str, says: str) -> None:
    (problem,) = parse_conf(text)[1]
    assert says in problem
    assert "secret" not in problem


def test_saved_settings_come_behind_the_command_line_and_before_the_file(tmp_path: Path) -> None:
    conf = conf_of("rpcuser=file", "-rpcport=1")
    path = tmp_path / "settings.json"
    assert with_saved(conf, tmp_path) == conf
    path.write_text('{"_warning_": "x", "rpcuser": "saved", "rpcport": 2, "rpcauth": ["a", "b"], "server": false}')
    saved = with_saved(conf, tmp_path)
    assert (saved.get("rpcuser", "regtest"), saved.get("rpcport", "regtest")) == ("saved", "1")
    assert saved.values("rpcauth", "regtest") == ["a", "b"]
    assert saved.get("server", "regtest") == "0"
    for broken in ("", "[]", "{", "[" * 100_000, "\xff"):
        path.write_text(broken)
        assert with_saved(conf, tmp_path).problems
    assert with_saved(conf_of("", "-nosettings"), tmp_path).problems == ()


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", [("127.0.0.1", 18443), ("::1", 18443)]),
        ("rpcport=7", [("127.0.0.1", 7), ("::1", 7)]),
        ("rpcport=7x", [("127.0.0.1", 7), ("::1", 7)]),
        ("rpcport=99999", [("127.0.0.1", 18443), ("::1", 18443)]),
        ("rpcbind=10.0.0.5:9", [("127.0.0.1", 18443), ("::1", 18443)]),  # not heeded without rpcallowip
        ("rpcallowip=::/0", [("127.0.0.1", 18443), ("::1", 18443)]),
        ("rpcallowip=::/0\nrpcbind=10.0.0.5:9", [("10.0.0.5", 9)]),
        ("rpcallowip=::/0\nrpcbind=10.0.0.5\nrpcport=7", [("10.0.0.5", 7)]),
        ("rpcallowip=::/0\nrpcbind=[::1]:9", [("::1", 9)]),
        ("rpcallowip=::/0\nrpcbind=::1\nrpcport=7", [("::1", 7)]),
        ("rpcallowip=::/0\nrpcbind=[fd00::5]", [("fd00::5", 18443)]),
        ("rpcallowip=::/0\nrpcbind=0.0.0.0:9", [("127.0.0.1", 9)]),
        ("rpcallowip=::/0\nrpcbind=::", [("::1", 18443), ("127.0.0.1", 18443)]),
        ("rpcallowip=::/0\nrpcbind=10.0.0.5:9\nrpcbind=127.0.0.1:8", [("127.0.0.1", 8), ("10.0.0.5", 9)]),
        ("rpcallowip=::/0\nrpcbind=host.lan:x", []),
    ],
)
def test_where_the_rpc_listens(text: str, addresses: list[tuple[str, int]]) -> None:
    assert NodeCandidate(Path("/x"), "regtest", conf_of(f"[regtest]\n{text}")).addresses == addresses


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


_LINES = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "no", "-", "regtest.", "regtest.no", "[", " \t"]),
        st.sampled_from(
            ["rpcport", "rpcbind", "rpcallowip", "rpcauth", "rpcpassword", "rpcuser", "includeconf", "chain"]
        ),
        st.sampled_from(["=", "", " = ", "]", "=="]),
        st.one_of(
            st.text(max_size=20), st.sampled_from(["1", "[::1]:5", "::", "regtest", "99999999999999999999", "a#"])
        ),
    ),
)


_TEXTS = st.lists(_LINES, max_size=8).map(lambda lines: "\n".join(lines).encode(errors="replace"))


@settings(max_examples=EXAMPLES, deadline=None)
@given(content=st.one_of(st.binary(max_size=300), _TEXTS))
def test_any_bytes_are_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A result of the right types whatever the file holds; no exception, and no value of it in a problem."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "bitcoin.conf").write_bytes(content)
    conf, datadir = read_node_conf({}, folder, folder)
    for network in NETWORKS:
        candidate = NodeCandidate(datadir, network, conf)
        assert all(0 < port < 1 << 16 for _, port in candidate.addresses)
        for login in candidate.logins:
            candidate.rpc("127.0.0.1", candidate.port, login)
        assert isinstance(candidate.users, list)
        assert conf.network is None or conf.network in NETWORKS
    find_nodes([folder])


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(alphabet="[]:.%a1 0é", max_size=12))
def test_any_text_splits_into_host_and_port(text: str) -> None:
    host, port = split_host_port(text, 5)
    assert isinstance(host, str)
    assert 0 <= port < 1 << 16


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(-(10**12), 10**12), st.text(max_size=3))
def test_numbers_as_the_node_reads_them(number: int, tail: str) -> None:
    if not tail[:1].isdigit():
        assert number_in(f" {number}{tail}") == number
