"""The forms in which people write settings: each is understood or refused, and no refusal repeats the value."""

from __future__ import annotations

import codecs
import errno
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.config.forms import host_and_port, system_words, zmq_address, zmq_seen_from
from solominer.config.jsontext import parse_json
from solominer.config.load import load_config, warnings_about
from solominer.config.models import Config
from solominer.config.paths import plain_bytes
from solominer.daemon.nodes import configured_nodes, credentials_of
from solominer.engines.cpu.plan_loader import load_plan
from solominer.errors import ConfigError
from solominer.node.credentials import CookieFile, PasswordFile, UserPassword

SECRET = "hunter2-and-more"


def load(folder: Path, text: Any, environ: dict[str, str] | None = None, **overrides: Any) -> Config:
    path = folder / "config.json"
    data = text if isinstance(text, bytes) else (text if isinstance(text, str) else json.dumps(text)).encode()
    path.write_bytes(data)
    return load_config(path, environ=environ or {}, overrides=overrides)


# --- hosts and ZMQ addresses ---


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1", ("127.0.0.1", None)),
        (" node.example ", ("node.example", None)),
        ("my_node", ("my_node", None)),
        ("127.0.0.1:19443", ("127.0.0.1", 19443)),
        ("http://127.0.0.1", ("127.0.0.1", None)),
        ("HTTP://node:8332/", ("node", 8332)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
        ("[::1]:8332", ("::1", 8332)),
        ("http://[fe80::1%eth0]:8332/", ("fe80::1%eth0", 8332)),
        ("0.0.0.0:8332", ("127.0.0.1", 8332)),
        ("[::]:8332", ("::1", 8332)),
        ("bücher.example", ("xn--bcher-kva.example", None)),
    ],
)
def test_hosts_that_are_understood(text: str, wanted: tuple[str, int | None]) -> None:
    assert host_and_port(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://node/rpc", "does not support https"),
        (f"user:{SECRET}@127.0.0.1", "must not contain a login"),
        (f"http://user:{SECRET}@127.0.0.1:8332", "must not contain a login"),
        ("http://node/wallet/x", "must not contain a path"),
        ("node?x", "must not contain a path"),
        ("tcp://node", "write HOST"),
        ("node:", "1 to 65535"),
        ("node:0", "1 to 65535"),
        ("node:65536", "1 to 65535"),
        ("node:http", "1 to 65535"),
        ("[::1]8332", r"\[::1\]:8332"),
        ("[::1", r"\[::1\]:8332"),
        ("1:2:3", "valid IPv6 address"),
        ("256.0.0.1", "valid IPv4 address"),
        ("a..b", "valid host name"),
        ("a b", "valid host name"),
        ("", "valid host name"),
        ("x" * 64, "valid host name"),
    ],
)
def test_hosts_that_can_never_work(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        host_and_port(text)
    for values in ({"bitcoin_rpc": {"host": text}}, {"more_nodes": [{"host": text}]}, {"bitcoin_rpc": text}):
        with pytest.raises(ConfigError, match=r"host|bitcoin_rpc") as caught:
            load(tmp_path, values)
        assert caught.value.exit_code == 2
        assert SECRET not in str(caught.value)


@given(st.text(st.sampled_from("http:/[]@.%-_0189abxyz \u0660\u212a"), max_size=30))
def test_any_host_is_usable_or_refused(text: str) -> None:
    try:
        host, port = host_and_port(text)
    except ValueError:
        return
    assert host.isascii()
    assert not set(host) & set("/@[] ")
    assert port is None or 0 < port < 1 << 16


def test_ports_in_host_and_port(tmp_path: Path) -> None:
    assert load(tmp_path, {"bitcoin_rpc": {"host": "node:1", "port": "1"}}).nodes[0].port == 1
    assert load(tmp_path, {"bitcoin_rpc": "http://[::1]:7"}).nodes[0].host == "::1"
    environ = {"SOLOMINER_BITCOIN_RPC__TIMEOUT_SECS": "1m"}
    (node,) = load(tmp_path, {"bitcoin_rpc": "node:7"}, environ).nodes
    assert (node.host, node.port, node.timeout_secs) == ("node", 7, 60.0)
    with pytest.raises(ConfigError, match="keep one of them"):
        load(tmp_path, {"bitcoin_rpc": {"host": "node:1", "port": 2}})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("tcp://127.0.0.1:28332", "tcp://127.0.0.1:28332"),
        ("127.0.0.1:28332", "tcp://127.0.0.1:28332"),
        ("zmqpubhashblock=tcp://127.0.0.1:28332", "tcp://127.0.0.1:28332"),
        ("tcp://[::1]:28332", "tcp://[::1]:28332"),
        ("tcp://*:28332", "tcp://node:28332"),
        ("0.0.0.0:28332", "tcp://node:28332"),
        ("tcp://[::]:28332", "tcp://node:28332"),
        ("ipc:///run/zmq", "ipc:///run/zmq"),
        ("unix:/run/zmq", "ipc:///run/zmq"),
    ],
)
def test_zmq_addresses_that_are_understood(tmp_path: Path, text: str, wanted: str) -> None:
    assert zmq_seen_from(zmq_address(text), "node") == wanted
    config = load(tmp_path, {"bitcoin_rpc": "node:1", "zmq": {"hashblock": text}})
    assert configured_nodes(config)[0].zmq_hashblock == wanted


def test_a_wildcard_is_reached_at_the_nodes_ipv6_address() -> None:
    assert zmq_seen_from("tcp://*:1", "::1") == "tcp://[::1]:1"
    assert zmq_seen_from(None, "::1") is None


@pytest.mark.parametrize(
    "text", ["tcp://node", "tcp://*", "http://node:1", "tcp://node:0", "tcp://*:70000", "ipc://", ""]
)
def test_zmq_addresses_that_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"zmq\.hashblock"):
        load(tmp_path, {"zmq": {"hashblock": text}})


# --- values ---


@pytest.mark.parametrize(
    ("values", "key", "wanted"),
    [
        ({"poll_secs": "500ms"}, "poll_secs", 0.5),
        ({"poll_secs": "2 minutes"}, "poll_secs", 120.0),
        ({"records": {"keep_days": "2w"}}, "records.keep_days", 14.0),
        ({"max_memory_gb": "512 MB"}, "max_memory_gb", 0.5),
        ({"nice": "5"}, "nice", 5),
        ({"bitcoin_rpc": {"port": "8332"}}, "bitcoin_rpc.port", 8332),
        ({"auto_detect": "no"}, "auto_detect", False),
        ({"auto_detect": 1}, "auto_detect", True),
        ({"log_level": "DEBUG"}, "log_level", "debug"),
        ({"mode": " RegTest"}, "mode", "regtest"),
        ({"mode": "test", "network": "test"}, "network", "testnet3"),
        ({"policies": {"intensity": "50%"}}, "policies.intensity", 0.5),
        ({"throttle": {"max_temperature_c": "80°C"}}, "throttle.max_temperature_c", 80.0),
        ({"electricity": {"watts": "1.2kW"}}, "electricity.watts", 1200.0),
        ({"schedule": {"days": "3"}}, "schedule.days", 3),
        ({"schedule": {"blocks_per_day": "Random"}}, "schedule.blocks_per_day", "random"),
        ({"zmq": None, "poll_secs": None}, "poll_secs", 1.0),
        ({"coinbase_tag": " x "}, "coinbase_tag", " x "),
        ({"payout_address": "bitcoin:bcrt1qx?amount=1"}, "payout_address", "bcrt1qx"),
    ],
)
def test_forms_that_are_understood(tmp_path: Path, values: dict[str, Any], key: str, wanted: object) -> None:
    value: Any = load(tmp_path, values)
    for name in key.split("."):
        value = getattr(value, name)
    assert value == wanted
    assert type(value) is type(wanted)


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"bitcoin_rpc": {"port": 0}}, "bitcoin_rpc.port", "greater than or equal to 1"),
        ({"bitcoin_rpc": {"port": "65536"}}, "bitcoin_rpc.port", "less than or equal to 65535"),
        ({"bitcoin_rpc": {"port": True}}, "bitcoin_rpc.port", "whole number"),
        ({"bitcoin_rpc": 8332}, "bitcoin_rpc", "group of settings"),
        ({"more_nodes": {"host": "x"}}, "more_nodes", r"in \[ \] even for one"),
        ({"zmq": "tcp://x:1"}, "zmq", "group of settings"),
        ({"poll_secs": -1}, "poll_secs", "greater than"),
        ({"poll_secs": "1 fortnight"}, "poll_secs", "30, 30s, 5m or 1h"),
        ({"poll_secs": True}, "poll_secs", "must be a number"),
        ({"shares_per_hour": "nan"}, "shares_per_hour", "must be a number"),
        ({"shares_per_hour": 10**400 // 3}, "shares_per_hour", "more than 300 digits|finite"),
        ({"shares_per_hour": 10**299}, "shares_per_hour", "less than|finite"),
        ({"schedule": {"days": "soon"}}, "schedule.days", "or forever"),
        ({"schedule": {"days": 10**9}}, "schedule.days", "less than"),
        ({"auto_detect": "perhaps"}, "auto_detect", "true or false"),
        ({"username": 1}, "username", "did you mean 'bitcoin_rpc.username'"),
        ({"bitcoin_rpc": {"rpcuser": "x"}}, "rpcuser", "did you mean 'username'"),
        ({"bitcoin_rpc": {"username": "x"}}, "bitcoin_rpc", "requires password_file or password"),
        ({"bitcoin_rpc": {"username": "x", "cookie_file": "/c"}}, "bitcoin_rpc", "either username or cookie_file"),
        ({"bitcoin_rpc": {"username": "a:b", "password": "c"}}, "username", "colon"),
        ({"data_dir": ""}, "data_dir", "path is empty"),
        ({"data_dir": "$NO_SUCH_VARIABLE/x"}, "data_dir", "not set"),
        ({"data_dir": "~no-such-user/x"}, "data_dir", "home directory"),
        ({"data_dir": "/a\0b"}, "data_dir", "control characters"),
        ({"payout_address": 1}, "payout_address", "in quotes"),
        ({"mode": "mainnet"}, "mode", "did you mean 'production'"),
        ({"mode": "main"}, "mode", "did you mean 'production'"),
        ({"mode": "live"}, "mode", "did you mean 'production'"),
        ({"mode": "testnet"}, "mode", "did you mean 'testnet4'"),
        ({"mode": "testnet4", "network": "bitcoin"}, "network", "unknown network"),
        ({"bitcoin_rpc": "a:1", "more_nodes": ["a:1"]}, "more_nodes", "same name or address"),
        ({"zmq": {"hashblock": "a:1"}, "more_nodes": [{"zmq": {"hashblock": "a:2"}}]}, "zmq", "requires bitcoin_rpc"),
    ],
)
def test_what_can_never_work_is_refused(tmp_path: Path, values: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, values)
    assert key in str(caught.value) or "300 digits" in said
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"payout_address": "cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW"},
            "payout_address: this is a secret, not",
        ),
        (
            {"coinbase_tag": "cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW"},
            "coinbase_tag: must not contain a secret",
        ),
        (
            {"cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW": 1},
            "the name of a setting: must not contain a secret",
        ),
        (
            {"data_dir": "/x/cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW"},
            "data_dir: must not contain a secret",
        ),
        ({"bitcoin_rpc": {"host": f"u:{SECRET}@n"}}, "host: must not contain a login; set username"),
        ({"more_nodes": [f"u:{SECRET}@n"]}, "host: must not contain a login; set username"),
        ({"records": {"signing_key": f"u:{SECRET}@n"}}, "signing_key: must not contain a secret"),
        ({"mode": SECRET}, "unknown mode"),
        ({"network": SECRET}, "unknown network"),
        ({"schedule": {"hours": SECRET}}, "schedule.hours"),
        ({"bitcoin_rpc": {"password": SECRET, "port": SECRET}}, "bitcoin_rpc.port"),
        ({"log_level": SECRET}, "log_level"),
        ({SECRET + " with blanks": 1}, "with an invalid name"),
        ({"electricity": {"price_url": SECRET}}, "price_url"),
    ],
)
def test_no_refusal_repeats_a_value(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, values)
    assert SECRET not in str(caught.value)
    assert "cVpF" not in str(caught.value)


# --- the file ---


@pytest.mark.parametrize(
    "text",
    [
        '{\n// a comment\n"mode": "regtest", # another\n/* and\none */ "poll_secs": 2,\n}',
        '{"mode": "regtest", "coinbase_tag": "//x/*y#,}", "poll_secs": 2,}',
    ],
)
def test_comments_and_trailing_commas(tmp_path: Path, text: str) -> None:
    config = load(tmp_path, text)
    assert (config.mode, config.poll_secs) == ("regtest", 2.0)
    assert config.coinbase_tag in ("/solominer/", "//x/*y#,}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mode": "demo", "mode": "regtest"}', "duplicate key 'mode'"),
        ('{"poll_secs": NaN}', "NaN is not a valid number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 30 + "1" + "}" * 30, "nested too deeply"),
        ('{"nice": ' + "1" * 5000 + "}", "300 digits"),
        ("{“mode”: 1}", "straight"),
        (b"{" + b" " * (1 << 20) + b"}", "too large"),
        (b'{\0"\0m\0', "UTF-8"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, text)


@pytest.mark.parametrize("text", ['{"' + '\\"' * 200_000, "/*" * 200_000, "//" * 200_000, "," * 200_000])
def test_no_text_takes_long(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        parse_json(text)


MARKED = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
]


@pytest.mark.parametrize(("mark", "encoding"), MARKED)
def test_marks_are_skipped_in_every_file(tmp_path: Path, mark: bytes, encoding: str) -> None:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(mark + text.encode(encoding))
        return tmp_path / name

    assert load(tmp_path, mark + '{"mode": "demo"}\r\n'.encode(encoding)).mode == "demo"
    plain = UserPassword("u", "pässword").header()
    assert PasswordFile("u", write("password", "pässword\r\n")).header() == plain
    assert CookieFile((write("cookie", "__cookie__:abc"),)).header() == UserPassword("__cookie__", "abc").header()
    assert load_plan(write("plan.yaml", "# nothing but this\n")) == load_plan(None)


def test_a_signing_key_behind_a_mark(tmp_path: Path) -> None:
    from solominer.records.evidence.signing import Signer

    path = tmp_path / "key.pem"
    public_hex = Signer.load(path).public_hex
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert Signer.load(path).public_hex == public_hex


@given(st.binary(max_size=60), st.sampled_from([b"", *(mark for mark, _ in MARKED)]))
def test_any_bytes_are_text_or_refused(data: bytes, mark: bytes) -> None:
    try:
        plain = plain_bytes(mark + data)
    except ValueError:
        return
    assert b"\0" not in plain
    assert plain == data or mark or data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8[:2])


def test_relative_paths_begin_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_FOLDER", "/some")
    values = {
        "data_dir": "data",
        "plan": "./plan.yaml",
        "bitcoind": "bitcoind",
        "records": {"signing_key": "$SOME_FOLDER/key"},
        "bitcoin_rpc": {"cookie_file": "node/.cookie"},
        "more_nodes": [{"name": "b", "username": "u", "password_file": "~/pw"}],
    }
    config = load(tmp_path, values, {"SOLOMINER_JOURNAL_FALLBACK_DIR": "second"})
    assert (config.data_dir, config.plan) == (tmp_path / "data", tmp_path / "plan.yaml")
    assert (config.bitcoind, config.records.signing_key) == (Path("bitcoind"), Path("/some/key"))
    assert config.journal_fallback_dir == Path("second")
    assert (config.nodes[0].cookie_file, config.nodes[1].password_file) == (
        tmp_path / "node/.cookie",
        Path.home() / "pw",
    )
    assert load(tmp_path, {}, data_dir=Path("here")).data_dir == Path("here")


# --- the environment ---


@pytest.mark.parametrize("text", ["{x9!k", "[a]b", "true", "null", " lead and trail ", "12", ""])
def test_a_text_is_taken_as_it_is(tmp_path: Path, text: str) -> None:
    environ = {"SOLOMINER_BITCOIN_RPC__USERNAME": text or "u", "SOLOMINER_BITCOIN_RPC__PASSWORD": text}
    (node,) = load(tmp_path, {}, environ).nodes
    assert (node.username, node.password.get_secret_value()) == (text or "u", text)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SOLOMINER_PAYOUT_ADRESS", "SOLOMINER_PAYOUT_ADDRESS"),
        ("SOLOMINER_BITCOIN_RPC_PORT", "SOLOMINER_BITCOIN_RPC__PORT"),
        ("SOLOMINER_DATA__DIR", "SOLOMINER_DATA_DIR"),
        ("SOLOMINER_BITCOIN_RPC__HOOST", "SOLOMINER_BITCOIN_RPC__HOST"),
        ("SOLOMINER_mode", "SOLOMINER_MODE"),
        ("SOLOMINER_CASH", "SOLOMINER_CACHE"),
    ],
)
def test_an_unknown_variable_names_the_nearest(tmp_path: Path, name: str, near: str) -> None:
    with pytest.raises(ConfigError, match="unknown environment variable") as caught:
        load(tmp_path, {}, {name: SECRET})
    assert near in caught.value.todo
    assert SECRET not in str(caught.value)


def test_variables_of_others_pass(tmp_path: Path) -> None:
    environ = {
        "SOLOMINER_CACHE": "/x",
        "SOLOMINER_SERVICE_HOST": "10.0.0.1",
        "SOLOMINER_PORT": "tcp://10.0.0.1:1",
        "SOLOMINER_PORT_1_TCP_ADDR": "10.0.0.1",
        "SOLOMINER_POLL_SECS": "",
        "SOLOMINER_MAX_MEMORY_GB": "null",
    }
    assert load(tmp_path, {}, environ) == Config()


def test_a_refusal_says_where_the_setting_came_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"environment variable SOLOMINER_BITCOIN_RPC__PORT: bitcoin_rpc\.port"):
        load(tmp_path, {}, {"SOLOMINER_BITCOIN_RPC__PORT": "x"})
    with pytest.raises(ConfigError, match=r"the command line: schedule\.days"):
        load_config(environ={}, overrides={"schedule.days": "x"})
    with pytest.raises(ConfigError, match=r"config\.json: poll_secs"):
        load(tmp_path, {"poll_secs": "x"}, {"SOLOMINER_NICE": "3"})


def test_an_empty_password_is_a_way_in(tmp_path: Path) -> None:
    config = load(tmp_path, {"bitcoin_rpc": {"username": "u", "password": ""}})
    assert credentials_of(config, config.nodes[0]) == UserPassword("u", "")
    assert isinstance(credentials_of(config, load(tmp_path, {"bitcoin_rpc": {"password": ""}}).nodes[0]), CookieFile)


# --- nothing is ignored in silence ---

NODE = {"bitcoin_rpc": "node:1"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mode": "regtest", "zmq": {"hashblock": "a:1"}}, "zmq has no effect"),
        ({"mode": "demo", **NODE}, "bitcoin_rpc has no effect"),
        ({"mode": "demo", "payout_address": "x"}, "payout_address has no effect"),
        ({**NODE, "bitcoind": "/x"}, "bitcoind has no effect"),
        ({"more_nodes": ["node:7"]}, "the first node of more_nodes, node:7, is the main node"),
        ({"electricity": {"price_per_kwh": 1}}, "no policy uses a price"),
        ({"electricity": {"stale_secs": 1}}, "electricity.stale_secs has no effect without price_url"),
        ({"policies": {"target_share": 0.5}}, "policies.target_share has no effect without target_rate_hps"),
        ({"throttle": {"resume_after_secs": 1}}, "throttle.resume_after_secs has no effect"),
    ],
)
def test_settings_without_an_effect_are_named(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    warnings = warnings_about(None, load(tmp_path, values))
    assert any(said in warning for warning in warnings)


def test_the_defaults_and_the_example_have_no_such_setting() -> None:
    assert warnings_about(None, Config()) == []
    assert warnings_about(None, load_config(Path(__file__).parents[2] / "config.json.example", environ={})) == []


def test_the_first_of_more_nodes_is_the_main_node(tmp_path: Path) -> None:
    values = {"mode": "regtest", "more_nodes": ["a:1", "b:2"], "zmq": {"hashblock": "*:7"}}
    config = load(tmp_path, values)
    assert not config.wants_private_node
    first, second = configured_nodes(config)
    assert (first.name, first.zmq_hashblock, second.name, second.zmq_hashblock) == ("a:1", "tcp://a:7", "b:2", None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 3333)"), "Connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "[SSL] bad record"), "[SSL] bad record"),
        (OSError("Multiple exceptions: a, b"), "Multiple exceptions: a, b"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_the_system_is_quoted_without_the_address(error: OSError, said: str) -> None:
    assert system_words(error) == said
