"""The configuration: what wins, what is refused and in which words, and that no secret ever shows."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.config.load import example_json, load_config, warnings_about
from solominer.config.models import Config, RpcConfig
from solominer.config.modes import MODES, mode_named
from solominer.errors import ConfigError

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-and-more"


def load(tmp_path: Path, values: Any, environ: dict[str, str] | None = None, **overrides: Any) -> Config:
    path = tmp_path / "config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return load_config(path, environ=environ or {}, overrides=overrides)


def test_example_file_is_what_the_model_says() -> None:
    assert (ROOT / "config.json.example").read_text() == example_json()


def test_example_file_can_be_loaded(tmp_path: Path) -> None:
    config = load(tmp_path, example_json())
    assert config.bitcoin_rpc is not None
    assert config.chain.name == "mainnet"


def test_module_prints_the_example() -> None:
    done = subprocess.run([sys.executable, "-m", "solominer.config"], capture_output=True, text=True, check=True)
    assert done.stdout == example_json()


@pytest.mark.parametrize(
    ("values", "near"),
    [
        ({"payout_adress": "x"}, "payout_address"),
        ({"bitcoin_rpc": {"usrname": "x"}}, "username"),
        ({"more_nodes": [{"prot": 1}]}, "port"),
        ({"zmq": {"hash_block": "tcp://127.0.0.1:1"}}, "hashblock"),
        ({"schedule": {"day_week": 3}}, "days_week"),
        ({"throttle": {"max_temperatur": 80}}, "max_temperature_c"),
        ({"guest": {"max_temperature_c": 80}}, "throttle"),  # as it was called in older versions
        ({"throttle": {"calm_secs": 80}}, "resume_after_secs"),
    ],
)
def test_unknown_key_names_the_nearest(tmp_path: Path, values: dict[str, Any], near: str) -> None:
    with pytest.raises(ConfigError, match="unknown setting") as caught:
        load(tmp_path, values)
    assert caught.value.todo == f"did you mean {near!r}?"
    assert caught.value.exit_code == 2


def test_key_like_nothing_points_to_the_example(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json\.example"):
        load(tmp_path, {"xyzzy": 1})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mode": "prodction"}, "did you mean 'production'"),
        ({"mode": "qqq"}, "use one of production"),
        ({"mode": "staging", "network": "signt"}, "network: unknown network"),
        ({"mode": "production", "network": "regtest"}, "is not allowed in mode 'production'"),
        ({"bitcoin_rpc": {"port": 70000}}, "bitcoin_rpc.port"),
        ({"bitcoin_rpc": {"password": SECRET}}, "a password requires a username"),
        ({"bitcoin_rpc": {"username": "u", "password": SECRET, "cookie_file": "/x"}}, "set only one of"),
        ({"zmq": {"hashblock": "http://127.0.0.1:28332"}}, "begin with tcp://"),
        ({"coinbase_tag": "x" * 61}, "has 61"),
        ({"schedule": {"hours": "25:00-26:00"}}, "24:00"),
        ({"schedule": {"hours": "night"}}, "22:00-06:00"),
        ({"schedule": {"block_interval_secs": 600}}, "only for regtest and signet"),
        ({"schedule": {"days_week": 8}}, "schedule.days_week"),
    ],
)
def test_bad_value_is_named(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, values)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mode": "regtest", "payout', "not valid JSON"),
        ("", "is empty\n  -> run solominer init"),
        (" \n", "is empty"),
        ("[1]", "must contain one JSON object"),
        ('{"a": 1,,}', "line 1"),
    ],
)
def test_half_written_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, text)


def test_missing_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="solominer init"):
        load_config(tmp_path / "nowhere.json", environ={})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "binary", environ={})
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path, environ={})


@given(st.binary(max_size=40))
def test_any_cut_or_garbage_is_a_config_error(junk: bytes) -> None:
    """Nothing but ConfigError leaves the loader, wherever the file was cut."""
    with TemporaryDirectory() as folder, suppress(ConfigError):
        path = Path(folder) / "config.json"
        path.write_bytes(example_json().encode()[: 7 * len(junk)] + junk)
        load_config(path, environ={})


def test_flags_beat_environment_beats_file_beats_default(tmp_path: Path) -> None:
    values = {"coinbase_tag": "/file/", "log_level": "error", "mode": "testnet4"}
    environ = {"SOLOMINER_COINBASE_TAG": "/environment/", "SOLOMINER_LOG_LEVEL": "debug"}
    config = load(tmp_path, values, environ, log_level="warning", data_dir=None)
    assert (config.coinbase_tag, config.log_level, config.mode) == ("/environment/", "warning", "testnet4")
    assert config.refresh_secs == 30.0


def test_environment_and_flags_go_down_into_sections(tmp_path: Path) -> None:
    environ = {"SOLOMINER_BITCOIN_RPC__PASSWORD": SECRET, "SOLOMINER_CACHE": "/somewhere", "HOME": "/x"}
    config = load(tmp_path, {"bitcoin_rpc": {"username": "u", "port": 1}}, environ, **{"schedule.days": 3})
    assert config.bitcoin_rpc is not None
    assert config.bitcoin_rpc.password.get_secret_value() == SECRET
    assert config.bitcoin_rpc.port == 1
    assert config.schedule.days == 3


def test_environment_that_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SOLOMINER_MORE_NODES is not valid JSON"):
        load(tmp_path, {}, {"SOLOMINER_MORE_NODES": "[{"})


def test_secrets_are_masked_everywhere(tmp_path: Path) -> None:
    rpc = {"username": "u", "password": SECRET}
    config = load(tmp_path, {"bitcoin_rpc": rpc, "more_nodes": [{**rpc, "port": 2}]})
    for shown in (repr(config), str(config), config.model_dump_json(), repr(config.bitcoin_rpc)):
        assert SECRET not in shown


def test_readable_file_with_a_password_is_warned_about(tmp_path: Path) -> None:
    config = load(tmp_path, {"bitcoin_rpc": {"username": "u", "password": SECRET}})
    path = tmp_path / "config.json"
    path.chmod(0o644)
    (warning,) = warnings_about(path, config)
    assert f"chmod 600 {path}" in warning
    path.chmod(0o600)
    assert warnings_about(path, config) == []


def test_readable_file_without_a_password_is_fine(tmp_path: Path) -> None:
    config = load(tmp_path, {"bitcoin_rpc": {"cookie_file": "/x"}})
    (tmp_path / "config.json").chmod(0o644)
    assert warnings_about(tmp_path / "config.json", config) == []


def test_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(Config(), "mode", "demo")  # noqa: B010 - mypy knows it too


def test_a_named_node_wins_over_a_private_one() -> None:
    assert Config(mode="regtest").wants_private_node
    assert not Config(mode="regtest", bitcoin_rpc=RpcConfig()).wants_private_node
    assert not Config(mode="demo", network="regtest").wants_private_node


def test_every_mode_can_be_configured() -> None:
    for mode in MODES.values():
        assert Config(mode=mode.name).chain.name == mode.network
        for network in mode.other_networks:
            assert Config(mode=mode.name, network=network).chain.name == network
    with pytest.raises(ConfigError, match="unknown mode"):
        mode_named("mainnet!")


# --- payout_split ---

ONE, TWO = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "mhJuoGLgnJC8gdBgBzEigsoyG4omQXejPT"


@pytest.mark.parametrize(
    ("written", "points"),
    [(150, 150), ("150", 150), ("150 bp", 150), ("150bps", 150), ("1.5%", 150), ("1.50 %", 150), ("33.33%", 3333),
     ("0.01%", 1), (" 7% ", 700), ("12.500%", 1250)],
)  # fmt: skip
def test_parts_of_a_split_as_people_write_them(tmp_path: Path, written: Any, points: int) -> None:
    split = [{"address": f" bitcoin:{TWO}", "basis_points": written}]
    config = load(tmp_path, {"mode": "regtest", "payout_address": ONE, "payout_split": split})
    assert config.payees == ((ONE, 10_000 - points), (TWO, points))


def test_a_split_without_a_payout_address_is_the_whole(tmp_path: Path) -> None:
    split = json.dumps([{"address": ONE, "basis_points": "60%"}, {"address": TWO, "basis_points": 4000}])
    config = load(tmp_path, {"mode": "regtest"}, {"SOLOMINER_PAYOUT_SPLIT": split})
    assert config.payees == ((ONE, 6000), (TWO, 4000))
    assert load(tmp_path, {"mode": "regtest"}).payees == (("", 10_000),)


@pytest.mark.parametrize(
    ("address", "parts", "problem"),
    [
        ("", [(ONE, 9999)], "payout_split: the parts sum to 9999 basis points; make it 10000, or set payout_address"),
        ("", [(ONE, 9999), (TWO, 2)], "payout_split: the parts sum to 10001 basis points, the maximum is 10000"),
        (ONE, [(TWO, 10_000)], "payout_split: no rest for payout_address"),
        (ONE, [(ONE, 1)], "payout_split: duplicate address \\(payout_address counts too\\)"),
        ("", [(ONE, 5000), (ONE.upper(), 5000)], "payout_split: duplicate address"),
        (ONE, [(TWO, 0)], r"payout_split\.0\.basis_points: must be greater than or equal to 1"),
        (ONE, [(TWO, "1.505%")], r"payout_split\.0\.basis_points: must be whole basis points"),
        (ONE, [(TWO, 1.5)], r"payout_split\.0\.basis_points: must be whole basis points"),
        (ONE, [(TWO, True)], r"payout_split\.0\.basis_points: must be whole basis points"),
        (ONE, [(TWO, "a tenth")], r"payout_split\.0\.basis_points: must be whole basis points"),
        (ONE, [("my friend", 1)], r"payout_split\.0\.address: .*does not have the form of an address"),
        (ONE, [("f" * 64, 1)], r"payout_split\.0\.address: this is a secret, not an address"),
        ("", [(ONE, 1)] * 513, "payout_split: 513 payees; the maximum is 512"),
    ],
)
def test_splits_that_are_refused_at_load(tmp_path: Path, address: str, parts: list[Any], problem: str) -> None:
    split = [{"address": payee, "basis_points": points} for payee, points in parts]
    with pytest.raises(ConfigError, match=problem) as refused:
        load(tmp_path, {"mode": "regtest", "payout_address": address, "payout_split": split})
    assert "my friend" not in str(refused.value)
    assert "ffff" not in str(refused.value)


def test_a_simulation_pays_nobody_and_says_so(tmp_path: Path) -> None:
    config = load(tmp_path, {"mode": "demo", "payout_split": [{"address": ONE, "basis_points": 10_000}]})
    assert "payout_split has no effect: mode demo uses no node" in warnings_about(None, config)


def test_a_window_without_a_group_has_no_effect(tmp_path: Path) -> None:
    config = load(tmp_path, {"mode": "regtest", "group_window": "2.5", "stratum": "0.0.0.0:3333"})
    assert "group_window has no effect: no stratum listener has the payout group" in warnings_about(None, config)
    config = load(tmp_path, {"mode": "regtest", "group_window": 2.5, "stratum": {"payout": "Group"}})
    assert config.group_window == 2.5
    assert warnings_about(None, config) == []


@pytest.mark.parametrize("name", ["nodes", "node", "backup_nodes", "second_node", "bitcoin_nodes", "fallback_node"])
def test_other_names_of_more_nodes_are_understood(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown setting '{name}'") as raised:
        load(tmp_path, {name: []})
    assert raised.value.todo == "did you mean 'more_nodes'?"


def test_one_element_of_a_list_in_the_environment_is_answered_by_the_whole_list() -> None:
    with pytest.raises(ConfigError, match="unknown environment variable SOLOMINER_MORE_NODES__0__HOST") as raised:
        load_config(environ={"SOLOMINER_MORE_NODES__0__HOST": "x"})
    assert raised.value.todo.startswith("set SOLOMINER_MORE_NODES to the whole list, as JSON")
