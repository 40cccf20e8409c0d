"""Generated configurations, file bytes, environment and flags, with marked secrets in them; from a seed, so that a case
can be run again by its number.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from solominer.config.environment import Setting, settings_of
from solominer.config.models import NodeConfig

PASSWORD = "Marked-Passw0rd"
"""Only ever put where a secret belongs, or into a value that is refused."""
KEYS = (
    "cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW",
    "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",
    "6PRVWUbkzzsbcVac2qwfssoUJAN1Xhrg6bNk8J7Nzm5H7kxEbn2Nh2ZoGg",
    "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
    "legal winner thank year wave sausage worth useful legal winner thank yellow",
    "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5",
)
HOSTS = (
    "127.0.0.1", "http://node:8332/", "node:1", "[::1]:8332", "::1", "0.0.0.0", "a..b", "https://x", "", "x/y", "[",
    f"me:{PASSWORD}@node", f"http://me:{PASSWORD}@node:1", "node:99999", "\u2603", "x" * 300, "tcp://*:1", "ipc:///x",
    "*", "bücher", "1.2.3.4.5", "[::1", "::1%lo", "http://", "//", "@", ":", "node:",
)  # fmt: skip
TEXTS = (
    "", " ", "x", "null", "true", "{", "[1]", "22:00-06:00", "25:00-26:00", "production", "REGTEST", "mainnet", "demo",
    "signet", "test", "forever", "random", "all", "debug", "/tmp/x", "~/x", "~nobody-here/x", "$HOME/x", "$NOT_SET/x",
    "a\0b", "\x1b[31m", "\ud800", "é", "x" * 5000, "1h", "5m", "50%", "8GB", "-1", "1e999", "nan", "inf", "0x10", "٣",
    "1_000", "1.5", "8332", "99999999999999999999999", "bitcoin:bcrt1qx?amount=1",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 8332, 65535, 65536, 10**18, 10**290, -(10**290), 0.5, -0.0, 1e308, 1e-308,
    float("inf"), float("nan"), [], {}, [1], {"a": 1}, [[]], [{}], {"": ""}, [None], {"host": "x"},
    [{"host": "x", "port": 1}], ["n:1"],
)  # fmt: skip
FLAGS = (
    "mode", "data_dir", "payout_address", "bitcoind", "kernel", "log_level", "policies.dry_run",
    "schedule.blocks_per_day", "schedule.days", "schedule.days_week", "schedule.hours", "schedule.block_interval_secs",
)  # fmt: skip
GOOD = {
    "mode": "regtest",
    "bitcoin_rpc": {"host": "127.0.0.1", "port": 18443, "username": "u", "password": PASSWORD},
    "zmq": {"hashblock": "tcp://127.0.0.1:28332"},
    "more_nodes": [{"name": "b", "host": "node", "cookie_file": "/c"}],
    "schedule": {"days": 3, "hours": "22:00-06:00"},
    "electricity": {"price_url": f"https://price/?key={PASSWORD}", "watts": 100},
    "policies": {"intensity": 0.5, "max_price_per_kwh": 1},
}


@dataclass
class Case:
    """What is put before the program. `keys` are the secrets that stand where none belongs."""

    data: bytes
    environ: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)


def case(number: int) -> Case:
    """The case of that number."""
    rng = random.Random(number)
    made = Case(b"")
    values: dict[str, Any] = json.loads(json.dumps(GOOD)) if rng.random() < 0.7 else {}
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        _spoil(rng, values, made)
    made.data = _bytes(rng, values)
    every = list(settings_of())
    for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
        setting = rng.choice(every)
        name = setting.variable if rng.random() < 0.8 else _misspelt(rng, setting.variable)
        made.environ[name] = _text(rng, setting, made)
    for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
        made.flags[rng.choice(FLAGS)] = rng.choice(TEXTS)
    return made


def _spoil(rng: random.Random, values: dict[str, Any], made: Case) -> None:
    """Change, add or misspell one setting."""
    nodes = values.get("more_nodes")
    if isinstance(nodes, list) and nodes and isinstance(nodes[0], dict) and rng.random() < 0.2:
        setting, holder = rng.choice(list(settings_of(NodeConfig))), nodes[0]
    else:
        setting, holder = rng.choice(list(settings_of())), values
    for key in setting.keys[:-1]:
        inner = holder.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        holder = inner
    name = setting.keys[-1] if rng.random() < 0.9 else _misspelt(rng, setting.keys[-1])
    if rng.random() < 0.05:
        key = rng.choice(KEYS)
        made.keys.append(key)
        holder[key] = 1
    elif rng.random() < 0.5:
        holder[name] = rng.choice(VALUES)
    else:
        holder[name] = _text(rng, setting, made)


def _text(rng: random.Random, setting: Setting, made: Case) -> str:
    if setting.is_secret:
        return rng.choice((PASSWORD, f"http://{PASSWORD}", "", f" {PASSWORD}\n"))
    if rng.random() < 0.1 and not setting.is_secret:
        key = rng.choice(KEYS)
        made.keys.append(key)
        return rng.choice(("{}", " {} ", "pkh({})", "/x/{}/y") if " " not in key else ("{}",)).format(key)
    return rng.choice(HOSTS if rng.random() < 0.4 else TEXTS)


def _misspelt(rng: random.Random, name: str) -> str:
    place = rng.randrange(len(name))
    if rng.random() < 0.3:
        return name.replace("__", "_") if "__" in name else name + "x"
    return name[:place] + rng.choice(("", "x", "_", name[place] * 2)) + name[place + 1 :]


def _bytes(rng: random.Random, values: dict[str, Any]) -> bytes:
    """As bytes: mostly as it is, sometimes as editors and accidents leave it."""
    text = json.dumps(values, indent=rng.choice((None, 2)))
    kind = rng.random()
    if kind < 0.75:
        return text.encode()
    if kind < 0.85:
        encoding = rng.choice(("utf-8-sig", "utf-16", "utf-32", "utf-16-le"))
        return text.replace("\n", "\r\n").encode(encoding)
    if kind < 0.9:
        place = rng.randrange(len(text))
        return (
            text[:place] + rng.choice((",", "//", "/*", "#", "}", '"', "\\", "\x00", "“", "\n")) + text[place:]
        ).encode()
    if kind < 0.95:
        return text[: rng.randrange(len(text))].encode()
    data = bytearray(text.encode())
    for _ in range(3):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)
