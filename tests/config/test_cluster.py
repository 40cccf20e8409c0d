"""Settings of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.errors import ConfigError


def config(**cluster: Any) -> Config:
    return load_config(environ={}, overrides={f"cluster.{key}": value for key, value in cluster.items()})


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("nats://head:4222", "nats://head:4222"),
        ("tls://head", "nats://head:4222"),
        (" head:4333/ ", "nats://head:4333"),
        ("10.0.0.5", "nats://10.0.0.5:4222"),
        ("[fd00::5]:4222", "nats://[fd00::5]:4222"),
        ("Embedded", "embedded"),
    ],
)
def test_servers_in_the_forms_that_people_write(given: str, url: str) -> None:
    found = config(servers=given).cluster
    assert (found.servers, found.is_embedded) == ((url,), url == "embedded")
    assert config(servers=[given]).cluster.servers == (url,)


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        (["embedded", "head"], "embedded is one server"),
        ("nats://user:word@head", "must not contain a secret: a login"),
        ("head:0", "port"),
        ("http://head", "nats://HOST:PORT"),
        ("head:4222:1", "cluster.servers: "),
        ("", "cluster.servers: "),
    ],
)
def test_servers_that_are_none(servers: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        config(servers=servers)
    assert "word" not in str(caught.value)


def test_lists_in_the_environment() -> None:
    environ = {"SOLOMINER_CLUSTER__SERVERS": '["nats://a:1", "b"]', "SOLOMINER_WEB__HOSTS": '["miner.lan"]'}
    found = load_config(environ=environ)
    assert (found.cluster.servers, found.web.hosts) == (("nats://a:1", "nats://b:4222"), ("miner.lan",))
    assert load_config(environ={"SOLOMINER_CLUSTER__SERVERS": "embedded"}).cluster.is_embedded
    with pytest.raises(ConfigError, match="is not valid JSON"):
        load_config(environ={"SOLOMINER_CLUSTER__SERVERS": '["a"'})


def test_a_cluster_is_work_enough(tmp_path: Path) -> None:
    overrides = {"cpu_workers": 0, "cluster.servers": "embedded", "data_dir": tmp_path}
    found = load_config(environ={}, overrides=overrides)
    assert found.cluster_dir == tmp_path / "cluster"
    with pytest.raises(ConfigError, match="nothing would mine"):
        load_config(environ={}, overrides={"cpu_workers": 0})


def test_a_bare_program_is_searched_on_the_path(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"cluster": {"server": "nats-server", "dir": "here"}}')
    found = load_config(path, environ={}).cluster
    assert (found.server, found.dir) == (Path("nats-server"), tmp_path / "here")


@pytest.mark.parametrize("servers", [(), "embedded"])
def test_daemons_that_stand_by_need_servers_of_their_own(servers: Any) -> None:
    assert config(servers="a", standby=True).cluster.standby
    with pytest.raises(ConfigError, match="machines of their own"):
        config(servers=servers, standby=True)
