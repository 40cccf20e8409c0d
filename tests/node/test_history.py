"""Epochs, progress and recent blocks as they are read from a node's headers; a fake node tells of a computed chain."""

from __future__ import annotations

import pytest

from solominer.chain.networks import MAINNET, REGTEST
from solominer.chain.target import decode_compact, difficulty
from solominer.errors import NodeError
from solominer.insight.forecast import INTERVALS, TARGET_SPAN_SECS, Epoch
from solominer.node.history import read_history
from solominer.node.rpc import RpcClient
from tests.node.fake_chain import FakeChain
from tests.node.fake_node import FakeNode

EASY, HARD = 0x1B0404CB, 0x1A05DB8B
DIFFICULTY = difficulty(decode_compact(EASY))
HARDER = difficulty(decode_compact(HARD))


def test_epochs_and_progress(fake: FakeNode, client: RpcClient) -> None:
    FakeChain(3 * 2016 + 500, (EASY, EASY, HARD, HARD)).told_by(fake)
    history = read_history(client, MAINNET, recent_secs=6000)
    assert history.epochs == tuple(Epoch(d, INTERVALS * 600) for d in (DIFFICULTY, DIFFICULTY, HARDER))
    assert history.progress is not None
    assert (history.progress.difficulty, history.progress.blocks) == (HARDER, 500)
    assert history.progress.elapsed_secs == 500 * 600
    assert history.retarget_height == 4 * 2016
    assert history.difficulty == HARDER
    assert len(history.blocks) == 22, (
        "a hundred minutes of blocks and two hours more, for header times are not in order"
    )
    assert history.blocks[0] == (1_780_000_000, HARDER)


def test_the_last_block_of_an_epoch_settles_the_next_difficulty(fake: FakeNode, client: RpcClient) -> None:
    FakeChain(2 * 2016 - 1, (EASY,), spacing_secs=500).told_by(fake)
    history = read_history(client, MAINNET, recent_secs=0)
    assert len(history.epochs) == 2
    assert history.progress is not None
    assert history.progress.blocks == 0
    assert history.difficulty == pytest.approx(DIFFICULTY * TARGET_SPAN_SECS / (INTERVALS * 500))
    assert history.retarget_height == 3 * 2016


def test_a_young_chain_ends_at_its_genesis(fake: FakeNode, client: RpcClient) -> None:
    FakeChain(3, (EASY,)).told_by(fake)
    history = read_history(client, MAINNET)
    assert len(history.blocks) == 4
    assert history.epochs == ()


def test_only_so_many_epochs_are_read(fake: FakeNode, client: RpcClient) -> None:
    FakeChain(70 * 2016 + 1, (EASY,)).told_by(fake)
    assert len(read_history(client, MAINNET, recent_secs=0).epochs) == 60
    assert len(fake.requests) < 300


def test_regtest_never_retargets(fake: FakeNode, client: RpcClient) -> None:
    FakeChain(2500, (EASY,)).told_by(fake)
    history = read_history(client, REGTEST, recent_secs=0)
    assert (history.progress, history.epochs) == (None, ())


def test_an_answer_of_another_form_is_refused(fake: FakeNode, client: RpcClient) -> None:
    FakeChain(2500, (EASY,)).told_by(fake)
    fake.answers["getblockhash"] = 7
    with pytest.raises(NodeError, match="getblockhash is 7, not"):
        read_history(client, MAINNET)
