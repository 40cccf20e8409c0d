"""Load the Config from config.json, environment variables and flags, and report errors in them.

Settings without an effect are reported.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from solominer.chain.secrets import LOGIN, secret_kind
from solominer.config.environment import Setting, from_environment, settings_of
from solominer.config.jsontext import parse_json, shown_key
from solominer.config.models import Config, RpcConfig, ZmqConfig
from solominer.config.part import Part
from solominer.config.password_file import files_with_passwords, others_can_read
from solominer.config.paths import plain_bytes
from solominer.config.time_zone import TIME_ZONE_TODO, time_zone_problem
from solominer.errors import ConfigError

MAX_FILE_BYTES = 1 << 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ADVICE = "correct it and start again; docs/reference/settings.md lists all settings"
_MESSAGES = {
    "string_type": "must be text, in quotes",
    "string_unicode": "must be text in UTF-8",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "finite_number": "must be a finite number",
    "path_type": "must be a path, in quotes",
    "model_type": "must be a group of settings, in { }",
    "model_attributes_type": "must be a group of settings, in { }",
    "tuple_type": "must be a list, in [ ] even for one element",
}
"""Messages that replace pydantic's, by error type."""
_NAMES_ELSEWHERE = {
    **{"rpcuser": "username", "user": "username", "rpcconnect": "host", "url": "host", "pass": "password"},
    **{"rpc": "bitcoin_rpc", "bitcoin": "bitcoin_rpc", "main_node": "bitcoin_rpc"},
    **dict.fromkeys(("nodes", "node", "bitcoin_nodes", "additional_nodes", "second_node"), "more_nodes"),
    **dict.fromkeys(("backup_node", "backup_nodes", "fallback_node", "fallback_nodes"), "more_nodes"),
    **{"guest": "throttle", "calm_secs": "resume_after_secs"},  # of older versions
}

_Keys = tuple[str | int, ...]


def load_config(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Load the Config from file, environment and flags (`overrides`: dotted keys like `schedule.days`; None is unset).

    Raises ConfigError with source and key of the setting and what to do, without quoting any value.
    """
    values = _read_file(path) if path is not None else {}
    sources: dict[str, str] = {}
    for name, keys, value in from_environment(os.environ if environ is None else environ):
        sources[".".join(keys)] = f"environment variable {name}"
        _put(values, keys, _understood(value))
    for key, value in (overrides or {}).items():
        if value is not None:
            sources[key] = "the command line"
            _put(values, tuple(key.split(".")), _understood(value))
    _refuse_secrets(values, path, sources)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _explain(error, path, sources) from None


def warnings_about(path: Path | None, config: Config) -> list[str]:
    """Warnings: a password in a file that other users can read, settings without an effect, an unknown time zone."""
    problem = time_zone_problem()
    warnings = [*unused_settings(config), *([f"{problem}; {TIME_ZONE_TODO}"] if problem else [])]
    with suppress(OSError):
        if path is not None and path in files_with_passwords(config, path) and others_can_read(path):
            text = f"{path} contains a password and other users can read it: chmod 600 {path}"
            return [text, *warnings]
    return warnings


def example_json() -> str:
    """config.json.example: every key, with example values."""
    example = Config(
        mode="production",
        bitcoin_rpc=RpcConfig(username="solominer", password_file=Path("/etc/solominer/rpc-password"), port=8332),
        zmq=ZmqConfig(hashblock="tcp://127.0.0.1:28332", sequence="tcp://127.0.0.1:28333"),
        payout_address="your own address on this network",
    )
    return json.dumps(example.model_dump(mode="json", exclude={"bitcoin_rpc": {"password"}}), indent=2) + "\n"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        folder = path.absolute().parent
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", "run solominer init, or copy config.json.example") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder", f"pass the file, such as {path / 'config.json'}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a valid path"
        raise ConfigError(f"cannot read {path}: {reason}", "check its permissions") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is too large for a config.json", "pass the config.json of solominer")
    try:
        text = plain_bytes(data).decode()
    except ValueError:
        raise ConfigError(
            f"{path} is not UTF-8 text", "save it as UTF-8, or start again from config.json.example"
        ) from None
    if not text.strip():
        raise ConfigError(f"{path} is empty", "run solominer init, or copy config.json.example")
    try:
        values = parse_json(text)
    except ValueError as error:
        raise ConfigError(
            f"{path} is not valid JSON: {error}", "correct that line, or start again from config.json.example"
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must contain one JSON object", "see config.json.example")
    values = dict(_understood(values))
    _refuse_secrets(values, path, {})  # before any text is used as a path
    for setting in _all_settings(values):
        _anchor(values, setting, folder)
    return values


def _understood(value: Any) -> Any:
    """Drop nulls, which mean unset; a node given as its address alone becomes a group."""
    if isinstance(value, list | tuple):
        return [_understood(each) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _understood(each) for key, each in value.items() if each is not None}
    if isinstance(plain.get("bitcoin_rpc"), str):
        plain["bitcoin_rpc"] = {"host": plain["bitcoin_rpc"]}
    return plain


def _all_settings(values: dict[str, Any]) -> Iterator[tuple[_Keys, Setting]]:
    """Every setting with its location in `values`, including those of groups in lists."""
    for setting in settings_of():
        yield setting.keys, setting
        if setting.group is not None and setting.is_list:
            (key,) = setting.keys
            inner = values.get(key)
            for place in range(len(inner) if isinstance(inner, list) else 1):
                where = (key, place) if isinstance(inner, list) else (key,)
                for each in settings_of(setting.group):
                    yield (*where, *each.keys), each


def _anchor(values: dict[str, Any], found: tuple[_Keys, Setting], folder: Path) -> None:
    """Resolve relative paths against the file's folder; a bare program name is searched on the PATH."""
    keys, setting = found
    holder: Any = values
    for key in keys[:-1]:
        try:
            holder = holder[key]
        except (KeyError, TypeError):
            return
    text = holder.get(keys[-1]) if isinstance(holder, dict) else None
    if not setting.is_path or not isinstance(text, str) or not text.strip() or text.strip()[0] in "/~$":
        return
    if keys not in (("bitcoind",), ("cluster", "server")) or "/" in text:
        holder[keys[-1]] = str(folder / text.strip())


def _put(values: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key)
        values[key] = inner = dict(inner) if isinstance(inner, dict) else {}
        values = inner
    if value is not None:
        if keys == ("bitcoin_rpc",) and isinstance(value, str):
            value = {"host": value}
        values[keys[-1]] = value


def _refuse_secrets(values: dict[str, Any], path: Path | None, sources: Mapping[str, str]) -> None:
    """Reject secrets and control characters in every text that may be displayed."""
    kinds = {_dotted(keys): setting for keys, setting in _all_settings(values)}
    for keys, text, is_key in _texts(values):
        key = _dotted(keys)
        setting = kinds.get(key)
        if setting is not None and setting.is_secret and not is_key:
            continue
        source = _source(key, path, sources)
        may_be_hash = setting is not None and (setting.is_path or keys[-1] == "host")
        as_address = not is_key and (keys == ("payout_address",) or (keys[0], keys[-1]) == ("payout_split", "address"))
        kind = secret_kind(text, as_address=as_address, may_be_hash=may_be_hash)
        own_parser = keys[-1] in ("host", "url") or keys in (("pools",), ("fallback_pool",))
        if kind == LOGIN and (own_parser or (keys[0] in ("more_nodes", "pools", "fallback_pool") and len(keys) == 2)):
            continue  # rejected by its own parser, with better advice
        where = "the name of a setting" if is_key else key
        if kind and as_address:
            raise ConfigError(f"{source}: {where}: this is a secret, not an address: {kind}", _LEAKED)
        if kind:
            raise ConfigError(f"{source}: {where}: must not contain a secret: {kind}", _LEAKED)
        if not is_key and (_CONTROL.search(text) or not _is_unicode(text)):
            raise ConfigError(f"{source}: {where}: contains control characters or invalid Unicode", _ADVICE)


_LEAKED = "remove it; if others may have read it, move the funds or change the login"


def _texts(value: Any, keys: _Keys = ()) -> Iterator[tuple[_Keys, str, bool]]:
    """(keys, text, whether it is a key) of every text in the values."""
    if isinstance(value, str | Path):
        yield keys, str(value), False
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (*keys, "..."), str(key), True
            yield from _texts(inner, (*keys, str(key)))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _texts(inner, (*keys, place))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _dotted(keys: _Keys) -> str:
    """A dotted key such as `more_nodes.0.host`; invalid names are replaced by `...`."""
    return ".".join(
        str(key) if isinstance(key, int) or re.fullmatch(r"[A-Za-z_]\w{0,40}", key) else "..." for key in keys
    )


def _source(key: str, path: Path | None, sources: Mapping[str, str]) -> str:
    """The source of a setting, for messages."""
    while key and key not in sources:
        key = key.rpartition(".")[0]
    return sources.get(key) or (str(path) if path is not None else "the configuration")


def _explain(error: ValidationError, path: Path | None, sources: Mapping[str, str]) -> ConfigError:
    """The first error, without the value, which may be a secret."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    unknown = first["type"] == "extra_forbidden"
    keys = tuple(first["loc"]) if unknown else tuple(_known_part(first["loc"]))
    key = _dotted(keys)
    source = _source(key, path, sources)
    if unknown:
        name = f"{_dotted(keys[:-1])}.{keys[-1]}" if keys[1:] else str(keys[-1])
        near = _nearest(tuple(str(each) for each in keys))
        todo = f"did you mean {near!r}?" if near else "see config.json.example for all settings"
        return ConfigError(f"{source}: unknown setting {shown_key(name)}", todo)
    message = _MESSAGES.get(first["type"]) or first["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return ConfigError(f"{source}: {key + ': ' if key else ''}{message}", _ADVICE)


def _known_part(location: tuple[str | int, ...]) -> Iterator[str | int]:
    """The location without the union members that pydantic appends to it."""
    names = {setting.keys[-1] for _, setting in _all_settings({})}
    for each in location:
        if isinstance(each, str) and each not in names:
            return
        yield each


def _nearest(keys: tuple[str, ...]) -> str:
    """The most similar setting: its name if in the same group, otherwise its dotted key; '' if none is similar."""
    *group, name = keys
    inside = tuple(each for each in group if not each.isdigit())
    name = _NAMES_ELSEWHERE.get(name.lower(), name.lower())[:80]
    own = [s.keys[-1] for s in _of_group(inside) if len(s.keys) == 1]
    near = difflib.get_close_matches(name, own, n=1, cutoff=0.6)
    if near:
        return near[0]
    by_name = {setting.keys[-1]: ".".join(setting.keys) for setting in reversed(list(settings_of()))}
    near = difflib.get_close_matches(name, by_name, n=1)
    return by_name[near[0]] if near else ""


def _of_group(keys: tuple[str, ...]) -> list[Setting]:
    model: Any = Config
    for key in keys:
        model = next((s.group for s in settings_of(model) if s.keys == (key,)), None) or model
    return list(settings_of(model))


_NEEDS = (
    ("gpu", ("kernel", "launch_ms", "max_temperature_c", "cpu_devices"), ("devices",)),
    ("electricity", ("price_json_path", "price_scale", "refresh_secs", "stale_secs"), ("price_url",)),
    ("policies", ("difficulty_intensity",), ("difficulty_factor",)),
    ("policies", ("intensity_outside",), ("hours",)),
    ("policies", ("target_share",), ("target_rate_hps",)),
    (
        "throttle",
        ("resume_after_secs",),
        ("max_temperature_c", "max_other_load", "pause_on_battery", "pause_while_active_secs"),
    ),
)
"""(group, settings, others of which one must be set for them to have an effect)."""


def unused_settings(config: Config) -> list[str]:
    """One line for each setting without an effect; a setting with its default value counts as unset."""
    return [*_of_nodes(config), *_of_groups(config)]


def _of_nodes(config: Config) -> Iterator[str]:
    idle: tuple[str, ...]
    if config.mode_rules.simulated:
        idle = ("bitcoin_rpc", "zmq", "more_nodes", "payout_address", "payout_split", "bitcoind")
        why = "mode demo uses no node"
    elif config.mode_rules.at_a_pool:
        idle = ("bitcoin_rpc", "zmq", "more_nodes", "payout_address", "payout_split", "bitcoind", "coinbase_tag")
        idle += ("cluster",)
        why = "in mode pool the pool gives the work and makes the coinbase"
    elif config.wants_private_node:
        idle, why = ("zmq",), "bitcoin_rpc is not set, so a private node is started"
    else:
        idle, why = ("bitcoind",), "no private node is started with this mode or with bitcoin_rpc"
        if config.bitcoin_rpc is None and config.more_nodes:
            main = config.name_of(config.more_nodes[0])
            yield f"bitcoin_rpc is not set: the first node of more_nodes, {main}, is the main node"
    yield from (f"{name} has no effect: {why}" for name in _given(config, idle))


def _of_groups(config: Config) -> Iterator[str]:
    if config.pools and not config.mode_rules.at_a_pool:
        yield f"pools has no effect: the mode is {config.mode}, not pool"
    if config.fallback_pool and not config.mode_rules.submits:
        yield f"fallback_pool has no effect: mode {config.mode} submits no blocks to a node of yours"
    elif config.fallback_pool and config.cpu_workers == 0 and not config.gpu.is_on:
        yield "fallback_pool has no effect: only CPU workers and GPUs of this machine mine there, and there are none"
    if _given(config, ("group_window",)) and all(listener.payout != "group" for listener in config.stratum):
        yield "group_window has no effect: no stratum listener has the payout group"
    for group, names, wanted in _NEEDS:
        part = getattr(config, group)
        if not _given(part, wanted):
            yield from (f"{group}.{name} has no effect without {' or '.join(wanted)}" for name in _given(part, names))
    costs, policies = config.electricity, config.policies
    if _given(costs, ("price_url", "price_per_kwh")) and not _given(
        policies, ("max_price_per_kwh", "max_cost_per_block")
    ):
        yield "electricity has no effect on mining, as no policy uses a price; only `solominer forecast` does"


def _given(part: Part, names: tuple[str, ...]) -> list[str]:
    fields = type(part).model_fields
    return [name for name in names if getattr(part, name) != fields[name].default]
