"""The node's cookie file is lost while it runs on: blocks still get there, and what cannot get there makes noise."""

from __future__ import annotations

from pathlib import Path

import pytest

from solominer.node.private.node import PrivateNode
from tests.e2e.harness import RunningMiner, config_for

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("loss", ["deleted", "of another node", "a folder"])
async def test_blocks_are_accepted_though_the_cookie_file_is_lost(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, loss: str
) -> None:
    async with RunningMiner(monkeypatch, config_for(node, tmp_path / "data")) as miner:
        await miner.mine(1)
        node.cookie_file.unlink()
        if loss == "a folder":
            node.cookie_file.mkdir()
        elif loss == "of another node":
            node.cookie_file.write_text("__cookie__:of another node")
        await miner.mine(3)
    assert "block-not-taken" not in caplog.text
    assert "cannot-submit" not in caplog.text
