"""Fixtures on a real node: the bitcoind to run, and fresh private regtest nodes that end with their test.

The nodes run with the arguments that all scenarios of `regtest.scenarios` need.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regtest.scenarios import node_args
from solominer.node.private.bitcoind import BitcoindBinary, find_bitcoind
from solominer.node.private.node import PrivateNode

CACHE_DIR = Path(__file__).parents[2] / ".cache/bitcoind"


@pytest.fixture(scope="session")
def bitcoind_binary() -> BitcoindBinary:
    """The bitcoind of `$BITCOIND`, PATH or the clone's cache, fetched if need be."""
    return find_bitcoind(None, CACHE_DIR, report=print)


@pytest.fixture
def node(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> Iterator[PrivateNode]:
    """A fresh private regtest node, running, of this test alone."""
    with PrivateNode(bitcoind_binary, tmp_path / "node", extra_args=node_args(bitcoind_binary.version)) as running:
        yield running


@pytest.fixture(scope="module")
def module_node(bitcoind_binary: BitcoindBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateNode]:
    """A private regtest node, running, shared by the tests of one module."""
    folder = tmp_path_factory.mktemp("node")
    with PrivateNode(bitcoind_binary, folder, extra_args=node_args(bitcoind_binary.version)) as running:
        yield running
