"""bitcoin.conf and a node's command line, read as Bitcoin Core reads them (src/common/config.cpp, src/common/args.cpp).

A section (`[regtest]`, or `regtest.rpcport=`) holds for its network alone. Outside any section some options hold for
mainnet only. `includeconf` is followed one level deep. Of several values of one option the first counts, and the
command line comes before the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SECTION_OF = {"mainnet": "main", "testnet3": "test", "testnet4": "testnet4", "signet": "signet", "regtest": "regtest"}
_NETWORK_OF_CHAIN = {section: network for network, section in SECTION_OF.items()}
_CHAIN_FLAGS = {"regtest": "regtest", "signet": "signet", "testnet4": "testnet4", "testnet": "testnet3"}
_MAIN_ONLY = frozenset({"addnode", "connect", "port", "bind", "rpcport", "rpcbind", "wallet"})
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Setting:
    """One line: `section` is '' outside of any."""

    section: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class BitcoinConf:
    """All settings in order of precedence; `problems` tell of files that could not be read."""

    settings: tuple[Setting, ...] = ()
    problems: tuple[str, ...] = ()

    def values(self, key: str, network: str) -> list[str]:
        """Every value that holds for `network`, its own section's first."""
        section = SECTION_OF[network]
        own = [each.value for each in self.settings if each.key == key and each.section in (section, "-")]
        if key in _MAIN_ONLY and network != "mainnet":
            return own
        return own + [each.value for each in self.settings if each.key == key and not each.section]

    def get(self, key: str, network: str) -> str | None:
        """The value that counts, or None."""
        return next(iter(self.values(key, network)), None)

    @property
    def network(self) -> str | None:
        """The network that it selects, None where it selects none (then it is mainnet)."""
        for each in self.settings:
            if each.section not in ("", "-"):
                continue
            if each.key == "chain":
                return _NETWORK_OF_CHAIN.get(each.value)
            if each.key in _CHAIN_FLAGS and each.value != "0":
                return _CHAIN_FLAGS[each.key]
        return None

    def over(self, other: BitcoinConf) -> BitcoinConf:
        """These settings before those of `other`."""
        return BitcoinConf(self.settings + other.settings, self.problems + other.problems)


def parse_conf(text: str) -> list[Setting]:
    """The settings of one file's text, in order. Lines that make no sense are passed over, as the node would not start.

    `includeconf` stays a setting; `read_conf` follows it.
    """
    section, found = "", []
    for raw in text.splitlines():
        stripped = raw.partition("#")[0].strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1]
            continue
        key, equals, value = stripped.partition("=")
        if not equals:
            continue
        prefix, dot, name = key.strip().partition(".")
        if dot and prefix in _NETWORK_OF_CHAIN and not section:
            found.append(Setting(prefix, name, value.strip()))
        else:
            found.append(_positive(Setting(section, key.strip(), value.strip())))
    return found


def parse_command_line(arguments: Iterable[str]) -> BitcoinConf:
    """The settings in a node's arguments; they hold for whatever network it is on."""
    found = []
    for argument in arguments:
        if argument.startswith("-"):
            key, equals, value = argument.lstrip("-").partition("=")
            found.append(_positive(Setting("-", key, value if equals else "1")))
    return BitcoinConf(tuple(found))


def read_conf(path: Path, datadir: Path) -> BitcoinConf:
    """The file and what it includes; relative includes lie in `datadir`. A file that is not there has no settings."""
    problems: list[str] = []
    settings = _read(path, problems) if path.exists() else []
    included: list[Setting] = []
    for name in (each.value for each in settings if each.key == "includeconf"):
        target = datadir / Path(name)
        if target.exists():
            included += [each for each in _read(target, problems) if each.key != "includeconf"]
        else:
            problems.append(f"{path} includes {target}, which is not there")
    return BitcoinConf((*settings, *included), tuple(problems))


def _read(path: Path, problems: list[str]) -> list[Setting]:
    try:
        with path.open("rb") as file:
            return parse_conf(file.read(_MAX_BYTES).decode(errors="replace"))
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")
        return []


def _positive(setting: Setting) -> Setting:
    """`nofoo=1` says `foo=0`."""
    if setting.key.startswith("no") and setting.value in ("", "0", "1"):
        return Setting(setting.section, setting.key[2:], "1" if setting.value == "0" else "0")
    return setting


def is_bitcoind(arguments: Sequence[str]) -> int | None:
    """Where in a process's arguments the node's own begin, or None if it is no node."""
    names = ("bitcoind", "bitcoin-qt", "bitcoin-node", "bitcoind.exe", "bitcoin-qt.exe")
    for position, argument in enumerate(arguments):
        if argument.startswith("-"):
            continue
        if Path(argument).name in names:
            return position + 1
    return None
