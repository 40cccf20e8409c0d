"""Settings of pools: URLs with users, passwords that appear nowhere, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from solominer.cli import refuse_secrets
from solominer.config.load import load_config, warnings_about
from solominer.config.models import Config
from solominer.config.pools import PoolConfig
from solominer.errors import ConfigError

SECRET = "hunter2hunter2"


def load(*pools: Any, **more: Any) -> Config:
    return load_config(overrides={"mode": "pool", "pools": list(pools), **more}, environ={})


@pytest.mark.parametrize(
    ("given", "url", "user", "place", "tls"),
    [
        ("stratum+tcp://me.rig@pool.org:3333", "stratum+tcp://pool.org:3333", "me.rig", ("pool.org", 3333), False),
        ("STRATUM+SSL://me@[::1]:443/", "stratum+ssl://[::1]:443", "me", ("::1", 443), True),
        ("stratum://me@h:1", "stratum+tcp://h:1", "me", ("h", 1), False),
        ({"url": "ssl://h:1", "user": "a@b"}, "stratum+ssl://h:1", "a@b", ("h", 1), True),
        ("tcp://a@b@h:1", "stratum+tcp://h:1", "a@b", ("h", 1), False),
    ],
)
def test_a_url_may_have_its_user(given: Any, url: str, user: str, place: tuple[str, int], tls: bool) -> None:
    (pool,) = load(given).pools
    assert (pool.url, pool.user, pool.place, pool.tls) == (url, user, place, tls)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pool.org:3333", "must begin with stratum+tcp://"),
        ("http://u@pool.org:3333", "must begin with stratum+tcp://"),
        ("stratum+tcp://u@pool.org", "needs a port"),
        ("stratum+tcp://u@pool.org:99999", "port"),
        ("stratum+tcp://u@pool.org:1/path", "must not contain a path"),
        ("stratum+tcp://pool.org:1", "user is not set"),
        (f"stratum+tcp://u:{SECRET}@pool.org:1", "must not contain a password; set password_file"),
        ({"url": f"stratum+tcp://u:{SECRET}@pool.org:1"}, "must not contain a password"),
        ({"url": "stratum+tcp://u@h:1", "user": "v"}, "its user differs"),
        ({"url": "stratum+tcp://u@h:1", "password": SECRET, "password_file": "/x"}, "only one of password"),
        ({"url": "stratum+tcp://u@h:1", "tls_ca": "/x"}, r"requires a URL with stratum\+ssl"),
        ({"url": "stratum+tcp://h:1", "user": " u"}, "printable text without blanks"),
        ({"url": "stratum+tcp://h:1", "user": "u", "pasword": SECRET}, "unknown setting"),
    ],
)
def test_what_is_refused_is_not_quoted(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("+tcp", r"\+tcp")) as refused:
        load(given)
    assert SECRET not in str(refused.value)


def test_two_pools_differ() -> None:
    with pytest.raises(ConfigError, match="same URL and user"):
        load("stratum+tcp://u@h:1", "stratum+tcp://u@h:1")
    assert len(load("stratum+tcp://u@h:1", "stratum+tcp://v@h:1").pools) == 2
    assert len(load("stratum+tcp://u@h:1", network="regtest").pools) == 1


def test_a_password_is_in_no_output(tmp_path: Path) -> None:
    config = load({"url": "stratum+tcp://u@h:1", "password": SECRET})
    assert config.pools[0].password.get_secret_value() == SECRET
    assert SECRET not in repr(config) + str(config.model_dump(mode="json")) + config.model_dump_json()
    file = tmp_path / "config.json"
    file.write_text("{}")
    file.chmod(0o644)
    assert "contains a password" in warnings_about(file, config)[0]


def test_a_fallback_is_read_as_pools_are(tmp_path: Path) -> None:
    def fallback(given: Any, mode: str = "regtest", **more: Any) -> Config:
        return load_config(overrides={"mode": mode, "fallback_pool": given, **more}, environ={})

    assert fallback(None).fallback_pool == ()
    (pool,) = fallback("stratum+tcp://u@h:1").fallback_pool
    assert (pool.url, pool.user) == ("stratum+tcp://h:1", "u")
    config = fallback({"url": "stratum+tcp://u@h:1", "password": SECRET})
    assert SECRET not in repr(config) + config.model_dump_json()
    file = tmp_path / "config.json"
    file.write_text("{}")
    file.chmod(0o644)
    assert "contains a password" in warnings_about(file, config)[0]
    with pytest.raises(ConfigError, match="fallback_pool: two pools"):
        fallback(["stratum+tcp://u@h:1"] * 2)
    for url in (f"stratum+tcp://u:{SECRET}@h:1", "h:1"):
        for given in (url, [url], {"url": url}):
            with pytest.raises(ConfigError, match="fallback_pool") as refused:
                fallback(given)
            assert SECRET not in str(refused.value)
    for mode in ("demo", "staging"):
        lines = warnings_about(None, fallback("stratum+tcp://u@h:1", mode))
        assert any("fallback_pool has no effect" in line for line in lines)
    idle = fallback("stratum+tcp://u@h:1", cpu_workers=0, stratum="127.0.0.1:3333")
    assert any("only CPU workers and GPUs of this machine mine there" in line for line in warnings_about(None, idle))


def test_the_command_line_takes_no_password() -> None:
    refuse_secrets(["run", "--pool", "stratum+tcp://user.rig@h:1"])
    for arguments in (["--pool", f"stratum+tcp://u:{SECRET}@h:1"], [f"--pool=stratum+ssl://u:{SECRET}@h:1"]):
        with pytest.raises(ConfigError, match="contains a pool's password") as refused:
            refuse_secrets(["run", *arguments])
        assert SECRET not in str(refused.value)
        assert "password_file" in refused.value.todo


def test_settings_without_an_effect_are_named() -> None:
    lines = warnings_about(None, load("stratum+tcp://u@h:1", payout_address="x", stratum="0.0.0.0:3333"))
    assert [line.split(" ")[0] for line in lines] == ["payout_address"]
    solo = Config(mode="regtest", pools=(PoolConfig(url="stratum+tcp://h:1", user="u"),))
    assert "pools has no effect: the mode is regtest, not pool" in warnings_about(None, solo)


def test_an_authority_key_is_no_secret_where_it_stands_in_a_url() -> None:
    key = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh"
    (pool,) = load(f"stratum2+tcp://me.rig@pool.org:3333/{key}").pools
    assert (pool.user, pool.place, pool.authority_key, pool.tls) == ("me.rig", ("pool.org", 3333), key, False)
    refuse_secrets(["run", f"--pool=stratum2+tcp://me@pool.org:1/{key}", "--pool", f"stratum2+tcp://[::1]:1/{key}/"])
    wif = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"
    for text in (f"stratum2+tcp://pool.org:1/{wif}", key):
        with pytest.raises(ConfigError, match="WIF"):
            refuse_secrets(["run", text])
    for typo in ("abc", key[:-1], key[:9] + ("2" if key[9] != "2" else "3") + key[10:]):
        with pytest.raises(ConfigError, match="no authority key: its checksum is wrong"):
            load(f"stratum2+tcp://u@h:1/{typo}")
    for url in ("stratum2+tcp://u@h:1", "stratum2+tcp://u@h:1/", "stratum2+tcp://u@h:1/a b"):
        with pytest.raises(ConfigError, match="needs the pool's authority key"):
            load(url)
