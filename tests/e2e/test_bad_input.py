"""What a user gets wrong at the start: one clear error with what to do, the right exit code, nothing lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from solominer.config.load import load_config
from solominer.daemon.daemon import Run
from solominer.daemon.every_run import RunOptions
from solominer.daemon.sd_notify import Notifier
from solominer.errors import (
    AlreadyRunning,
    BitcoindNotFound,
    ConfigError,
    NodeAuthFailed,
    PayoutError,
    RecordsError,
    SolominerError,
    WrongNetwork,
)
from solominer.node.private.node import PrivateNode
from solominer.records.lock import FolderLock
from solominer.views.logs import RecentEvents

pytestmark = pytest.mark.e2e

SECRET = "hunter2 with spaces & ünicode"
ADDRESS_ON_MAINNET = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
ADDRESS_ON_TESTNET = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
PAY_TO_ANCHOR = "bcrt1pfeesnyr2tx"


def values_for(node: PrivateNode, folder: Path) -> dict[str, Any]:
    return {
        "mode": "regtest",
        "bitcoin_rpc": {"host": node.rpc_host, "port": node.rpc_port, "cookie_file": str(node.cookie_file)},
        "zmq": {"hashblock": node.zmq_hashblock, "sequence": node.zmq_sequence},
        "data_dir": str(folder / "data"),
        "nice": 0,
    }


async def start(values: dict[str, Any], secs: float = 20.0) -> tuple[int, RecentEvents]:
    recent = RecentEvents()
    config = load_config(overrides=json.loads(json.dumps(values)), environ={})
    return await Run(config, RunOptions(secs=secs), recent).run(), recent


WRONG: list[tuple[str, dict[str, Any], type[SolominerError], str]] = [
    ("another chain", {"mode": "testnet4", "payout_address": ADDRESS_ON_TESTNET}, WrongNetwork, "regtest"),
    ("no payout address", {"mode": "testnet4"}, ConfigError, "payout_address is not set"),
    ("an address of mainnet", {"payout_address": ADDRESS_ON_MAINNET}, PayoutError, "belongs to mainnet"),
    ("an address of testnet", {"payout_address": ADDRESS_ON_TESTNET}, PayoutError, "belongs to testnet"),
    ("no address at all", {"payout_address": "hello"}, PayoutError, "not valid"),
    ("an output anybody can take", {"payout_address": PAY_TO_ANCHOR}, PayoutError, "safe to pay"),
    ("a data folder that is a file", {"data_dir": "/etc/passwd"}, RecordsError, "/etc/passwd"),
    (
        "the same node twice",
        {"more_nodes": [{"host": "127.0.0.1", "port": 1, "name": "x"}, {"host": "127.0.0.1", "port": 2, "name": "x"}]},
        ConfigError,
        "same name",
    ),
]


@pytest.mark.parametrize(("changes", "kind", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
async def test_wrong_settings(
    module_node: PrivateNode, tmp_path: Path, changes: dict[str, Any], kind: type[SolominerError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        await start(values_for(module_node, tmp_path) | changes)
    assert caught.value.todo
    assert caught.value.exit_code != 0


async def test_a_wrong_password_is_named_but_not_shown(module_node: PrivateNode, tmp_path: Path) -> None:
    rpc = {"host": module_node.rpc_host, "port": module_node.rpc_port, "username": "me", "password": SECRET}
    with pytest.raises(NodeAuthFailed) as caught:
        await start(values_for(module_node, tmp_path) | {"bitcoin_rpc": rpc})
    assert "'me'" in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_second_daemon_is_told_who_the_first_is(module_node: PrivateNode, tmp_path: Path) -> None:
    values = values_for(module_node, tmp_path)
    lock = FolderLock(tmp_path / "data")
    lock.acquire()
    try:
        with pytest.raises(AlreadyRunning, match="pid"):
            await start(values)
    finally:
        lock.release()


async def test_no_bitcoind_for_a_private_node(tmp_path: Path) -> None:
    with pytest.raises(BitcoindNotFound, match="/nope"):
        await start({"mode": "regtest", "bitcoind": "/nope", "data_dir": str(tmp_path)})


@pytest.mark.parametrize("missing", ["cookie", "node"])
async def test_a_node_that_is_not_there_yet_is_waited_for(
    module_node: PrivateNode,
    tmp_path: Path,
    missing: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Exit 0 when it is stopped: waiting is no failure, and a stop is heard while waiting."""
    values = values_for(module_node, tmp_path)
    if missing == "cookie":
        values["bitcoin_rpc"]["cookie_file"] = str(tmp_path / "not-yet")
    else:
        values["bitcoin_rpc"]["port"] = 1
    tries: list[str] = []
    monkeypatch.setattr(Notifier, "starting", lambda self, status, patience_secs: tries.append(status))
    run = Run(load_config(overrides=values, environ={}), RunOptions(), RecentEvents())
    task = asyncio.create_task(run.run())
    with caplog.at_level("WARNING", "solominer"):
        async with asyncio.timeout(60):
            while sum("waiting for node" in status for status in tries) < 2:
                assert not task.done()
                await asyncio.sleep(0.01)
        run.stop()
        assert await asyncio.wait_for(task, 30) == 0
    assert sum("waiting for node" in line for line in caplog.messages) == 1, "said once, not at every try"
