"""The Config from config.json, environment variables and flags, and what is wrong with them."""

from __future__ import annotations

import difflib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from solominer.config.models import (
    Config,
    ElectricityConfig,
    GuestConfig,
    NodeConfig,
    PoliciesConfig,
    RecordsConfig,
    RetryConfig,
    RpcConfig,
    ScheduleConfig,
    ZmqConfig,
)
from solominer.errors import ConfigError

ENV_PREFIX = "SOLOMINER_"


def load_config(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """The Config from file, environment and flags (`overrides`; None values are flags that were not given, a point in
    a key goes one level down: `schedule.days`).

    Raises ConfigError that names the file, the key and the nearest known key.
    """
    values = _read_file(path) if path is not None else {}
    for keys, value in _from_environment(os.environ if environ is None else environ):
        _put(values, keys, value)
    for key, value in (overrides or {}).items():
        if value is not None:
            _put(values, key.split("."), value)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _explain(error, path) from None


def warnings_about(path: Path, config: Config) -> list[str]:
    """What is risky about the file itself: a password that others on the machine can read."""
    nodes = [node for node in (config.bitcoin_rpc, *config.more_nodes) if node is not None]
    holds_password = any(node.password.get_secret_value() for node in nodes)
    if holds_password and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return [f"{path} holds a password and others on this machine can read it: chmod 600 {path}"]
    return []


def example_json() -> str:
    """config.json.example: every key, with values that show its form."""
    example = Config(
        mode="production",
        bitcoin_rpc=RpcConfig(username="solominer", password_file=Path("/etc/solominer/rpc-password"), port=8332),
        zmq=ZmqConfig(hashblock="tcp://127.0.0.1:28332", sequence="tcp://127.0.0.1:28333"),
        payout_address="your own address on this network",
    )
    return json.dumps(example.model_dump(mode="json", exclude={"bitcoin_rpc": {"password"}}), indent=2) + "\n"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}", "write one: solominer init, or copy config.json.example") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "check its permissions") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8", "write it anew from config.json.example") from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path} is not complete JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            "mend that line, or write the file anew from config.json.example",
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} does not hold one JSON object", "see config.json.example")
    return values


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[list[str], Any]]:
    for name in sorted(environ):
        keys = name.removeprefix(ENV_PREFIX).lower().split("__")
        if not name.startswith(ENV_PREFIX) or keys[0] not in Config.model_fields:
            continue
        text = environ[name]
        try:
            value = json.loads(text) if text[:1] in "[{" or text in ("true", "false", "null") else text
        except json.JSONDecodeError:
            raise ConfigError(f"the variable {name} is not JSON", "mend or unset it") from None
        yield keys, value


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key)
        values[key] = inner = dict(inner) if isinstance(inner, dict) else {}
        values = inner
    values[keys[-1]] = value


def _explain(error: ValidationError, path: Path | None) -> ConfigError:
    """The first problem as one line. The offending value is not repeated: it may be a secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    source = str(path) if path is not None else "the configuration"
    if first["type"] == "extra_forbidden":
        known = sorted(_known_keys())
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        todo = f"did you mean {near[0]!r}?" if near else "see config.json.example for all of them"
        return ConfigError(f"{source}: there is no setting {where!r}", todo)
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{source}: {where + ': ' if where else ''}{message}", "mend it and start again")


def _known_keys() -> set[str]:
    parts = (
        RpcConfig,
        NodeConfig,
        ZmqConfig,
        RetryConfig,
        RecordsConfig,
        ScheduleConfig,
        GuestConfig,
        ElectricityConfig,
    )
    return {name for model in (Config, *parts, PoliciesConfig) for name in model.model_fields}
