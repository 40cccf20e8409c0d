"""`solominer forecast` against a fake node: its text and its JSON say the same, and what is missing is said."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from solominer.cli import app
from solominer.cli.forecast import parse_rate
from solominer.errors import ConfigError, NodeError, PriceError
from solominer.governor import prices
from tests.node.fake_chain import FakeChain
from tests.node.fake_node import FakeNode

NBITS = 0x170240C3


class Bench:
    """A config that names the fake node, and the command on it."""

    def __init__(self, folder: Path, node: FakeNode) -> None:
        self.node = node
        self.path = folder / "config.json"
        self.values: dict[str, Any] = {
            "bitcoin_rpc": {"host": "127.0.0.1", "port": node.port, "username": "u", "password": "p"},
            "data_dir": str(folder / "data"),
        }
        self.chain(60_000)

    def chain(self, spacing_secs: float) -> None:
        """Have the node tell of a chain in its 301st epoch; the slower its blocks, the fewer are asked for."""
        FakeChain(300 * 2016 + 1000, (NBITS,), spacing_secs, tip_time=int(time.time()) - 100).told_by(self.node)

    def run(self, *args: str) -> Result:
        self.path.write_text(json.dumps(self.values))
        return CliRunner().invoke(app, ["forecast", "--config", str(self.path), *args])


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    with FakeNode() as node:
        yield Bench(tmp_path, node)


def test_text_and_json(bench: Bench) -> None:
    done = bench.run("--hash-rate", "40M", "--watts", "200", "--price", "0.3")
    assert done.exit_code == 0, done.exception
    said = done.output
    assert "at height 606,816, in" in said
    assert ": -75.00 % (" in said, "a hundred times too slow: as much as a retarget may"
    for days in ("over 1 day ", "over 7 days ", "over 14 days "):
        assert days in said
    assert "chance        of a block in an hour: 1 in" in said
    assert "electricity 0.06" in said
    assert "a block costs" in said
    bench.chain(600)
    told = json.loads(bench.run("--hash-rate", "40M", "--watts", "200", "--price", "0.3", "--json").output)
    assert told["miner_hps"] == 40e6
    assert told["retarget"]["height"] == 606_816
    assert told["retarget"]["blocks_left"] == 1016
    change = told["retarget"]["change"]
    assert change["value"] == pytest.approx(1, abs=0.01)
    assert change["low"] < 1 < change["high"]
    assert told["network_hps"]["7d"]["low"] < told["network_hps"]["7d"]["value"] < told["network_hps"]["7d"]["high"]
    assert [chance["horizon"] for chance in told["chances_of_a_block"]] == ["hour", "day", "year"]
    assert told["price"]["per_kwh"] == 0.3


def test_without_a_rate_the_network_is_told_of(bench: Bench) -> None:
    assert "your chances  unknown" in bench.run().output
    told = json.loads(bench.run("--json").output)
    assert (told["miner_hps"], told["chances_of_a_block"], told["cost_per_block"]) == (None, [], None)


def test_an_old_tip_and_a_young_chain_are_said(bench: Bench) -> None:
    FakeChain(2016, (NBITS,), 60_000, tip_time=int(time.time()) - 10 * 86400).told_by(bench.node)
    said = bench.run("--hash-rate", "1T").output
    assert "the node is behind" in said
    assert "no forecast: fewer than 8 closed epochs" in said
    json.loads(bench.run("--json").output)


def test_a_node_that_knows_no_difficulty_of_today_gives_no_forecast(bench: Bench) -> None:
    for told, why in (
        ({"chain": "main", "blocks": 0, "initialblockdownload": True}, "initial block download"),
        ({"chain": "regtest", "blocks": 9}, "is on chain 'regtest', but mainnet"),
    ):
        bench.node.answers["getblockchaininfo"] = told
        done = bench.run("--hash-rate", "1M")
        assert isinstance(done.exception, NodeError)
        assert why in str(done.exception)
        assert "chance" not in done.output


def test_the_price_is_fetched_only_where_it_is_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return b'{"data": [{"eur_mwh": 250}]}'

    monkeypatch.setattr(prices.PriceSource.__init__, "__kwdefaults__", {"fetch": fetch})
    bench.run("--hash-rate", "40M")
    assert asked == []
    url = "https://prices.example/now?key=secret"
    bench.values["electricity"] = {
        "watts": 100, "price_url": url, "price_json_path": "data.0.eur_mwh", "price_scale": 0.001,
    }  # fmt: skip
    told = json.loads(bench.run("--hash-rate", "40M", "--json").output)
    assert asked == [url]
    assert told["price"]["per_kwh"] == 0.25
    assert bench.run("--hash-rate", "40M", "--price", "0.1").exit_code == 0
    assert asked == [url], "a price that is given needs no fetching"
    bench.values["electricity"]["price_json_path"] = "data.1"
    error = bench.run("--hash-rate", "40M").exception
    assert isinstance(error, PriceError)
    assert "secret" not in str(error)


def test_errors(bench: Bench) -> None:
    assert isinstance(bench.run("--hash-rate", "fast").exception, ConfigError)
    bench.values["bitcoin_rpc"]["port"] = 1
    assert isinstance(bench.run().exception, NodeError)
    bench.values["mode"] = "demo"
    assert "your own node" in str(bench.run().exception)


def test_another_node_answers_where_the_first_does_not(bench: Bench) -> None:
    bench.values["more_nodes"] = [{**bench.values["bitcoin_rpc"], "name": "b"}]
    bench.values["bitcoin_rpc"] = {**bench.values["bitcoin_rpc"], "port": 1}
    assert bench.run().exit_code == 0


@pytest.mark.parametrize(
    ("text", "hps"),
    [("40M", 40e6), ("1.2 TH/s", 1.2e12), ("500kH", 5e5), ("7", 7.0), ("3PH/s", 3e15), (" 1E ", 1e18), ("2H/s", 2.0)],
)
def test_hash_rates_as_people_write_them(text: str, hps: float) -> None:
    assert parse_rate(text) == hps
