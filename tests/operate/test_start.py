"""Before a run: production wants a yes once, and a mode that must end wants to know when."""

from __future__ import annotations

from pathlib import Path

import pytest

from solominer.config.cluster import ClusterConfig
from solominer.config.models import Config
from solominer.config.pools import PoolConfig
from solominer.daemon.every_run import RunOptions
from solominer.errors import ConfigError
from solominer.setup.first_run import UNDERSTOOD_NAME, check_nodes, check_start, make_sure


class Person:
    """Answers a question, and remembers what was asked."""

    def __init__(self, *, says: bool) -> None:
        self.says = says
        self.asked: list[str] = []

    def __call__(self, text: str) -> bool:
        self.asked.append(text)
        return self.says


def config(tmp_path: Path, address: str = "my address") -> Config:
    return Config(mode="production", data_dir=tmp_path, payout_address=address)


def test_asks_once_and_again_for_another_address(tmp_path: Path) -> None:
    person = Person(says=True)
    make_sure(config(tmp_path), yes=False, ask=person)
    make_sure(config(tmp_path), yes=False, ask=person)
    make_sure(config(tmp_path), yes=False, ask=None)
    assert len(person.asked) == 1
    assert "my address" in person.asked[0]
    make_sure(config(tmp_path, "another"), yes=False, ask=person)
    assert len(person.asked) == 2


def test_asks_again_for_another_split(tmp_path: Path) -> None:
    person = Person(says=True)
    make_sure(config(tmp_path), yes=False, ask=person)
    friend = {"address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "basis_points": "1.5%"}
    split = Config.model_validate({**config(tmp_path).model_dump(), "payout_split": [friend]})
    make_sure(split, yes=False, ask=person)
    make_sure(split, yes=False, ask=None)
    assert len(person.asked) == 2
    assert "my address (98.5 %),\n    bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 (1.5 %).\n" in person.asked[1]


def test_no_is_no(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs your confirmation"):
        make_sure(config(tmp_path), yes=False, ask=Person(says=False))
    with pytest.raises(ConfigError, match="needs your confirmation"):
        make_sure(config(tmp_path), yes=False, ask=None)
    assert not (tmp_path / UNDERSTOOD_NAME).exists()


def test_yes_on_the_command_line(tmp_path: Path) -> None:
    make_sure(config(tmp_path / "new"), yes=True, ask=None)
    make_sure(config(tmp_path / "new"), yes=False, ask=None)


def test_damaged_note_is_asked_anew(tmp_path: Path) -> None:
    (tmp_path / UNDERSTOOD_NAME).write_text("[half")
    person = Person(says=True)
    make_sure(config(tmp_path), yes=False, ask=person)
    assert len(person.asked) == 1


def test_other_modes_ask_nothing(tmp_path: Path) -> None:
    for mode in ("testnet4", "signet", "regtest", "demo", "test", "staging"):
        make_sure(Config(mode=mode, data_dir=tmp_path), yes=False, ask=None)


def test_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        make_sure(config(tmp_path / "file"), yes=True, ask=None)


def test_bounded_mode_wants_an_end() -> None:
    with pytest.raises(ConfigError, match="requires a limit"):
        check_start(Config(mode="test"), RunOptions(), None)
    for options in (RunOptions(blocks=1), RunOptions(hashes=1), RunOptions(secs=1)):
        check_start(Config(mode="test"), options, None)
    check_start(Config(mode="regtest"), RunOptions(), None)


@pytest.mark.parametrize("mode", ["production", "testnet4", "signet", "staging"])
def test_without_a_configuration_it_says_what_to_do_next(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no configuration was given") as refused:
        check_start(Config(mode=mode), RunOptions(), None)
    assert "solominer init" in refused.value.todo
    assert "--mode regtest" in refused.value.todo
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError) as refused:
        check_start(Config(mode=mode), RunOptions(), None)
    assert "--config config.json" in refused.value.todo
    check_start(Config(mode=mode, payout_address="x"), RunOptions(), None)  # by variables alone
    check_start(Config(mode="demo"), RunOptions(), None)


def test_mode_pool_wants_a_pool_and_a_worker() -> None:
    with pytest.raises(ConfigError, match="requires a pool"):
        check_start(Config(mode="pool"), RunOptions(), None)
    pools = (PoolConfig(url="stratum+tcp://h:1", user="u"),)
    idle = Config(mode="pool", pools=pools, cpu_workers=0, cluster=ClusterConfig(servers=("embedded",)))
    with pytest.raises(ConfigError, match="nothing would mine"):
        check_start(idle, RunOptions(), None)
    config = Config(mode="pool", pools=pools)
    check_start(config, RunOptions(), None)
    check_nodes(config)
