"""Settings in environment variables. A variable is parsed by the type of its setting, not by its content."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from solominer.config.jsontext import parse_json
from solominer.config.models import Config
from solominer.errors import ConfigError

ENV_PREFIX = "SOLOMINER_"
PROGRAM_VARIABLES = frozenset({"SOLOMINER_CACHE"})
"""Variables of this program that are not settings."""

_SERVICE_LINK = re.compile(r"SOLOMINER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_SERVICE_PORT = re.compile(r"(tcp|udp|sctp)://\S*")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of config.json: `keys` is its path, `types` are the allowed types of its value."""

    keys: tuple[str, ...]
    types: frozenset[type]
    optional: bool

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return ENV_PREFIX + "__".join(self.keys).upper()

    @property
    def group(self) -> type[BaseModel] | None:
        """The model of its value if it is a group, or a list of groups."""
        return next((each for each in self.types if issubclass(each, BaseModel)), None)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return tuple in self.types

    @property
    def is_secret(self) -> bool:
        """Whether its value is masked in output."""
        return SecretStr in self.types

    @property
    def is_path(self) -> bool:
        """Whether it is a path."""
        return Path in self.types

    @property
    def is_text(self) -> bool:
        """Whether its value may be any text, including ''."""
        return not self.optional and self.types <= {str, SecretStr}


def settings_of(model: type[BaseModel] = Config, keys: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting, including the groups themselves, but not those inside of lists."""
    for name, field in model.model_fields.items():
        types = frozenset(_types_in(field.annotation))
        setting = Setting((*keys, name), types - {type(None)}, type(None) in types)
        yield setting
        if setting.group is not None and not setting.is_list:
            yield from settings_of(setting.group, setting.keys)


def _types_in(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
        return
    if getattr(annotation, "__origin__", None) is tuple:
        yield tuple
    arguments = get_args(annotation)
    if arguments and all(isinstance(each, str) for each in arguments):  # a Literal
        yield bool
        return
    for each in arguments[:1] if hasattr(annotation, "__metadata__") else arguments:
        yield from _types_in(each)


def from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """(variable, keys, value) of each setting in the environment. Raises ConfigError for an unknown variable.

    An empty variable is ignored unless the setting is a text.
    """
    known = {setting.variable: setting for setting in settings_of()}
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name in PROGRAM_VARIABLES or _is_service_link(name, environ[name]):
            continue
        if name not in known:
            raise ConfigError(f"unknown environment variable {_shown(name)}", _nearest(name, known))
        setting, text = known[name], environ[name]
        if setting.is_text:
            yield name, setting.keys, text
        elif text.strip() not in ("", "null"):
            yield name, setting.keys, _json(name, text) if setting.group is not None or setting.is_list else text


def _json(name: str, text: str) -> Any:
    """Parse JSON; a single node or element may be given as its text alone."""
    if text.strip()[:1] not in ("{", "["):
        return text
    try:
        return parse_json(text)
    except ValueError as error:
        raise ConfigError(f"environment variable {name} is not valid JSON: {error}", "correct or unset it") from None


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes or Docker set it for a service named solominer."""
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and bool(_SERVICE_PORT.fullmatch(value)))


def _shown(name: str) -> str:
    return name if re.fullmatch(r"[A-Z0-9_]{1,60}", name) else f"{ENV_PREFIX}..."


def _nearest(name: str, known: Mapping[str, Setting]) -> str:
    lists = [each for each, setting in known.items() if setting.is_list and name.startswith(f"{each}_")]
    if lists:
        return f"set {lists[0]} to the whole list, as JSON: [{{...}}, {{...}}]"
    flat = re.sub("_+", "_", name.upper())
    same = [each for each in known if re.sub("_+", "_", each) == flat]
    near = same or difflib.get_close_matches(name[:80], [*known, *PROGRAM_VARIABLES], n=1)
    return f"did you mean {near[0]}?" if near else "unset it; names have the form SOLOMINER_BITCOIN_RPC__HOST"
