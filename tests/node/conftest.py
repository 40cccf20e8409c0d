"""Fixtures of the node tests: a fake node, and a client that talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from solominer.node.credentials import UserPassword
from solominer.node.rpc import RpcClient
from tests.node.fake_node import FakeNode

PASSWORD = "a secret: @/#%"


@pytest.fixture
def fake() -> Iterator[FakeNode]:
    """A fake node that listens."""
    with FakeNode() as running:
        yield running


@pytest.fixture
def client(fake: FakeNode) -> Iterator[RpcClient]:
    """A client of the fake node."""
    with RpcClient("127.0.0.1", fake.port, UserPassword("me", PASSWORD), name="alpha", timeout_secs=10) as connected:
        yield connected
