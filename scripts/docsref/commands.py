"""The commands and their options, from the functions' signatures, so independent of typer's version."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import typer

from solominer.cli import app

_PLACEHOLDERS = {Path: "PATH", int: "N", float: "NUMBER", str: "TEXT"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option or argument: names, placeholder of the value ('' for a flag), meaning, default."""

    names: tuple[str, ...]
    value: str
    about: str
    default: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its full name, help, examples and options."""

    name: str
    about: str
    examples: str
    options: tuple[Option, ...]


def commands() -> str:
    """One section for each command, in the program's order."""
    return "\n\n".join("\n".join(_section(command)) for command in all_commands())


def all_commands() -> Iterator[Command]:
    """All visible commands."""
    yield from _below(app, "solominer")


def _below(group: typer.Typer, parent: str) -> Iterator[Command]:
    for each in group.registered_commands:
        if each.callback is not None and not each.hidden:
            name = each.name or each.callback.__name__.replace("_", "-")
            yield _command(f"{parent} {name}", each.callback)
    for inner in group.registered_groups:
        if inner.typer_instance is not None and not inner.hidden:
            yield from _below(inner.typer_instance, f"{parent} {inner.name or inner.typer_instance.info.name}")


def _command(name: str, function: Callable[..., Any]) -> Command:
    about, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\b\n")
    hints = get_type_hints(function, include_extras=True)
    options = (_option(each, hints[each.name]) for each in inspect.signature(function).parameters.values())
    return Command(name, about.strip(), examples.strip(), tuple(options))


def _option(parameter: inspect.Parameter, hint: Any) -> Option:
    kind, *extras = get_args(hint)
    info = next(each for each in extras if hasattr(each, "param_decls"))
    is_argument = type(info).__name__ == "ArgumentInfo"
    dashed = "" if is_argument else "--"
    given = (info.default, *(info.param_decls or ()))  # Annotated: the first name takes the default's place
    names = tuple(each for each in given if isinstance(each, str) and each.startswith("-"))
    names = names or (dashed + parameter.name.replace("_", "-"),)
    default = None if parameter.default is inspect.Parameter.empty else parameter.default
    value = "" if kind is bool or is_argument else _placeholder(kind)
    shown = "" if default in (None, False, "") else str(default)
    return Option(names, value, " ".join((info.help or "").split()), shown)


def _placeholder(kind: Any) -> str:
    """The placeholder of a type such as `Path | None` or `list[Path]`."""
    for each in (kind, *get_args(kind)):
        if each in _PLACEHOLDERS:
            return _PLACEHOLDERS[each]
        if each is not NoneType and get_args(each):
            return _placeholder(get_args(each)[0])
    return "VALUE"


def _section(command: Command) -> Iterator[str]:
    yield f"## {command.name}"
    yield ""
    yield command.about
    if command.examples:
        yield from ("", "```text", command.examples, "```")
    if command.options:
        yield from ("", "| option | meaning | default |", "| --- | --- | --- |")
    for option in command.options:
        name = " ".join([", ".join(option.names), option.value]).strip()
        default = f"`{option.default}`" if option.default else ""
        yield f"| `{name}` | {option.about.replace('|', '&#124;')} | {default} |"
