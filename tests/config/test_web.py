"""Settings of the web server."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from solominer.config.web import WebConfig


@pytest.mark.parametrize(
    ("written", "place", "is_local"),
    [
        ("8080", ("127.0.0.1", 8080), True),
        (8080, ("127.0.0.1", 8080), True),
        ("0.0.0.0:8080", ("0.0.0.0", 8080), False),
        ("*:8080", ("0.0.0.0", 8080), False),
        ("[::1]:8080", ("::1", 8080), True),
        ("[::]:8080", ("::", 8080), False),
        ("localhost:8080", ("localhost", 8080), True),
        ("10.0.0.7", ("10.0.0.7", 3380), False),
    ],
)
def test_listen(written: Any, place: tuple[str, int], is_local: bool) -> None:
    config = WebConfig(listen=written)
    assert config.place == place
    assert config.is_local is is_local
    assert WebConfig(listen=config.listen).place == place


@pytest.mark.parametrize(
    "values",
    [
        {"listen": "unix:/run/web.sock"},
        {"listen": "127.0.0.1:99999"},
        {"listen": "http://127.0.0.1:80"},
        {"hosts": ["http://miner.lan"]},
        {"hosts": ["miner.lan:80"]},
        {"hosts": [""]},
        {"proxies": ["anybody"]},
        {"tls_key": "/key.pem"},
        {"unknown": 1},
    ],
)
def test_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebConfig(**values)


def test_hosts_and_proxies_are_normalized() -> None:
    config = WebConfig(hosts=("Miner.LAN.",), proxies=("10.0.0.5", "10.1.2.3/8", "::1"))
    assert config.hosts == ("miner.lan",)
    assert config.proxies == ("10.0.0.5/32", "10.0.0.0/8", "::1/128")
