"""A node's settings (command line, settings.json, bitcoin.conf), merged as Bitcoin Core does.

Sources, by precedence: command line, settings.json, the network's section of bitcoin.conf (`[regtest]`, or
`regtest.rpcport=`), the rest of bitcoin.conf. In the file the first value of a setting is used, elsewhere the last.
Some settings outside a section are for mainnet only. `nofoo` removes the values before it. Follows
src/common/config.cpp, src/common/settings.cpp and src/common/args.cpp.

Lines that the node rejects are skipped and reported: the file may have changed since the node started.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from solominer.chain.networks import NETWORK_OF_CHAIN, NETWORKS
from solominer.config.paths import read_file, reason

_CHAIN_FLAGS = {"regtest": "regtest", "signet": "signet", "testnet": "testnet3", "testnet4": "testnet4"}
_MAIN_ONLY = frozenset({"addnode", "bind", "connect", "port", "rpcbind", "rpcport", "wallet", "walletdir"})
_SPACE = " \t\r\n"
_MAX_BYTES = 1 << 20

Value = str | bool
"""A setting's value; False if negated, True if negated twice."""
Source = Mapping[str, Sequence[Value]]
"""All values of each setting, in order."""


@dataclass(frozen=True, slots=True)
class NodeConf:
    """The settings of one node. `sections` are those of bitcoin.conf; '' has the settings outside of any section.

    `problems` are unreadable files and lines that the node rejects, without values.
    """

    command_line: Source = field(default_factory=dict)
    saved: Source = field(default_factory=dict)
    sections: Mapping[str, Source] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def get(self, key: str, network: str) -> str | None:
        """The value that the node uses; None for its default, '0' for a negated setting."""
        value = self._value(key, network)
        return None if value is None else _text(value)

    def path(self, key: str, network: str, default: str) -> str:
        """A path setting: `default` if unset or empty, '' if negated."""
        value = self._value(key, network)
        return "" if value is False else ("" if value is None else _text(value)) or default

    def _value(self, key: str, network: str) -> Value | None:
        for values, in_file in self._sources(key, network, with_negated=True):
            if kept := _kept(values):
                return kept[0 if in_file else -1]
            if values:
                return False
        return None

    def values(self, key: str, network: str) -> list[str]:
        """All values of a multi-value setting."""
        found: list[Value] = []
        done = negated_empty = False
        for values, in_file in self._sources(key, network):
            if not done or (in_file and not negated_empty):
                found += _kept(values)
            done |= False in values
            negated_empty |= bool(values) and values[-1] is False and not found
        return [_text(value) for value in found]

    @property
    def network(self) -> str | None:
        """The selected network (default mainnet); None for an unknown chain."""
        if (chain := self.get("chain", "")) is not None:
            return NETWORK_OF_CHAIN[chain].name if chain in NETWORK_OF_CHAIN else None
        return next((network for flag, network in _CHAIN_FLAGS.items() if self._chain_flag(flag)), "mainnet")

    def _chain_flag(self, flag: str) -> bool:
        command_line = self.command_line.get(flag, ())
        negated = bool(command_line) and command_line[-1] is False  # the node ignores it
        for values in (() if negated else command_line, self.sections.get("", {}).get(flag, ())):
            if values:
                return _true(_text(values[-1]))
        return False

    def _sources(self, key: str, network: str, *, with_negated: bool = False) -> Iterator[tuple[Sequence[Value], bool]]:
        """The values of each source, and whether it is bitcoin.conf."""
        yield self.command_line.get(key, ()), False
        yield self.saved.get(key, ()), False
        if network:
            yield self.sections.get(NETWORKS[network].chain, {}).get(key, ()), True
        outside = self.sections.get("", {}).get(key, ())
        negated = with_negated and bool(outside) and outside[-1] is False  # applies to every network
        if key not in _MAIN_ONLY or network in ("", "mainnet") or negated:
            yield outside, True


def parse_conf(text: str, name: str = "bitcoin.conf") -> tuple[list[tuple[str, str, Value]], list[str]]:
    """Section, key and value of each setting in order, and problems: the lines that the node rejects."""
    prefix, found, problems = "", [], []
    for number, raw in enumerate(text.split("\n"), 1):
        line, hash_sign, _ = raw.partition("#")
        line = line.strip(_SPACE)
        if not line:
            continue
        if line[0] == "[" and line[-1] == "]":
            prefix = line[1:-1] + "."
            continue
        key, equals, value = line.partition("=")
        full_key = prefix + key.strip(_SPACE)
        if line[0] == "-" or not equals:
            problems.append(f"line {number} of {name} is not a setting: the node will not start")
            continue
        if hash_sign and "rpcpassword" in full_key:
            problems.append(f"line {number} of {name} has a # in rpcpassword: the node will not start")
            continue
        section, dot, rest = full_key.partition(".")
        if not dot:
            section, rest = "", full_key
        setting, interpreted = _interpreted(rest, value.strip(_SPACE))
        if setting == "conf":
            problems.append(f"line {number} of {name} must not set conf: the node will not start")
            continue
        found.append((section, setting, interpreted))
    if text.startswith("\ufeff"):
        problems.append(f"{name} begins with a byte order mark: the node does not recognize its first line")
    return found, problems


def parse_command_line(arguments: Iterable[str]) -> Source:
    """The settings in a node's command-line arguments."""
    found: dict[str, list[Value]] = {}
    for argument in arguments:
        if not argument.startswith("-"):
            break  # as the node does
        name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        setting, interpreted = _interpreted(name, value if equals else "")
        found.setdefault(setting, []).append(interpreted)
    return found


def read_node_conf(command_line: Source, default_datadir: Path, cwd: Path) -> tuple[NodeConf, Path]:
    """The settings of a node with these arguments, and its data directory.

    `default_datadir` is used without `datadir`; relative paths are resolved against `cwd`.
    """
    given = NodeConf(command_line)
    first_datadir = cwd / given.path("datadir", "", str(default_datadir))
    problems: list[str] = []
    sections: dict[str, dict[str, list[Value]]] = {}
    if conf_name := given.path("conf", "", "bitcoin.conf"):
        _read_into(sections, first_datadir / conf_name, problems, needed="conf" in command_line)
    if False not in command_line.get("includeconf", ()):
        selected = NodeConf(command_line, {}, sections).network
        chain = NETWORKS[selected].chain if selected else ""
        names = [name for section in dict.fromkeys((chain, "")) for name in _includes(sections, section)]
        for name in names:
            _read_into(sections, first_datadir / name, problems, needed=True)
    conf = NodeConf(command_line, {}, sections, tuple(problems))
    network = conf.network or "mainnet"
    problems += _misplaced(conf, network, str(first_datadir / conf_name))
    conf = NodeConf(command_line, {}, sections, tuple(problems))
    return conf, cwd / conf.path("datadir", network, str(first_datadir))


def _misplaced(conf: NodeConf, network: str, name: str) -> list[str]:
    """Problems: mainnet-only settings outside of a section, which the node rejects on another network."""
    outside = conf.sections.get("", {})
    found = [key for key in sorted(_MAIN_ONLY) if _kept(outside.get(key, ())) and conf.get(key, network) is None]
    section = f"[{NETWORKS[network].chain}]"
    return [f"{name}: {key} must be in section {section}: the node will not start" for key in found]


def with_saved(conf: NodeConf, chain_dir: Path) -> NodeConf:
    """Add the settings of settings.json, which the node writes in the network's directory."""
    if not (name := conf.path("settings", "", "settings.json")):
        return conf
    path = chain_dir / name
    try:
        loaded = json.loads(read_file(path, _MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return conf
    except (OSError, ValueError, RecursionError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not valid JSON"
        return _with_problem(conf, f"{path} cannot be read: {why}")
    if not isinstance(loaded, dict):
        return _with_problem(conf, f"{path} is not a JSON object")
    saved = {key: _saved_values(value) for key, value in loaded.items()}
    return NodeConf(conf.command_line, saved, conf.sections, conf.problems)


def _with_problem(conf: NodeConf, problem: str) -> NodeConf:
    return NodeConf(conf.command_line, conf.saved, conf.sections, (*conf.problems, problem))


def _saved_values(value: object) -> list[Value]:
    several = value if isinstance(value, list) else [value]
    return [each if isinstance(each, str | bool) else str(each) for each in several if each is not None]


def _includes(sections: Mapping[str, Source], section: str) -> list[str]:
    return [_text(value) for value in _kept(sections.get(section, {}).get("includeconf", ()))]


def _read_into(sections: dict[str, dict[str, list[Value]]], path: Path, problems: list[str], *, needed: bool) -> None:
    """Add the settings of a file. A missing file is a problem only if it is `needed`."""
    try:
        text = read_file(path, _MAX_BYTES).decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        if needed:
            problems.append(f"{path} does not exist: the node will not start")
        return
    except OSError as error:
        problems.append(f"{path} cannot be read: {reason(error)}")
        return
    settings, refused = parse_conf(text, str(path))
    problems += refused
    for section, key, value in settings:
        sections.setdefault(section, {}).setdefault(key, []).append(value)


def _interpreted(key: str, value: str) -> tuple[str, Value]:
    """`nofoo=1` is a negated `foo`, `nofoo=0` sets it."""
    if key.startswith("no"):
        return key[2:], not _true(value)
    return key, value


def _kept(values: Sequence[Value]) -> Sequence[Value]:
    """The values after the last negation."""
    last = max((position for position, value in enumerate(values) if value is False), default=-1)
    return values[last + 1 :]


def _true(value: str) -> bool:
    return not value or number_in(value) != 0


def number_in(text: str) -> int:
    """The number at the start of a text, 0 if there is none (LocaleIndependentAtoi)."""
    match = re.match(r"[ \t\r\n\f\v]*([+-]?[0-9]{1,20})", text)
    return int(match[1]) if match else 0


def _text(value: Value) -> str:
    return value if isinstance(value, str) else str(int(value))


def is_bitcoind(arguments: Sequence[str]) -> int | None:
    """Index of the node's first argument in a process's command line, or None if it is not a node."""
    names = ("bitcoind", "bitcoin-qt", "bitcoin-node", "bitcoin-gui", "bitcoind.exe", "bitcoin-qt.exe")
    for position, argument in enumerate(arguments):
        if argument.startswith("-"):
            continue
        if Path(argument).name in names:
            return position + 1
    return None
