"""client.reconnect: within the pool's own domain only."""

from __future__ import annotations

import pytest

from solominer.engines.stratum.server_values import read_reconnect
from solominer.errors import BadValue
from solominer.upstream.talk import may_redirect


@pytest.mark.parametrize(
    ("configured", "host", "may"),
    [
        ("pool.example.org", "pool.example.org", True),
        ("pool.example.org", "POOL.example.org.", True),
        ("eu.pool.example.org", "us.pool.example.org", True),
        ("pool.example.org", "eu.pool.example.org", True),
        ("pool.example.org", "example.org", True),
        ("pool.example.org", "evil.org", False),
        ("pool.example.org", "pool.example.org.evil.org", False),
        ("pool.example.org", "notexample.org", False),
        ("example.org", "evil.org", False),
        ("example.org", "a.example.org", True),
        ("example.co.uk", "evil.co.uk", False),
        ("pool.example.co.uk", "b.example.co.uk", True),
        ("localhost", "localhost", True),
        ("localhost", "a.localhost", False),
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5", "11.0.0.5", False),
        ("5.pool.org", "10.0.0.5", False),
        ("::1", "::1", True),
    ],
)
def test_where_a_pool_may_send_us(configured: str, host: str, may: bool) -> None:
    assert may_redirect(configured, host) is may


@pytest.mark.parametrize(
    ("params", "read"),
    [
        ([], ("", 0, 0.0)),
        (["a.b", 3333, 5], ("a.b", 3333, 5.0)),
        (["a.b", "3333", "5"], ("a.b", 3333, 5.0)),
        ([None, None, None], ("", 0, 0.0)),
        (["a b", 1, 1], None),
        (["\x1b[2J", 1, 1], None),
        ([7], None),
        (["a", 70000], None),
        (["a", "port"], None),
        (["a", 1, -1], None),
        (["a", 1, 1e400], None),
        ("a", ("", 0, 0.0)),
    ],
)
def test_what_client_reconnect_says(params: object, read: tuple[str, int, float] | None) -> None:
    if read is not None:
        assert read_reconnect(params) == read
        return
    with pytest.raises(BadValue):
        read_reconnect(params)
