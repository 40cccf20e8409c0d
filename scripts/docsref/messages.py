"""All messages of errors and alarms, from the source's syntax tree; an ellipsis stands for a value."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.docsref.tables import error_classes

SOURCE = Path(__file__).parents[2] / "solominer"
GAP = "…"
# Validators raise ValueError, which pydantic passes on and config/load.py converts to a ConfigError.
_VALIDATORS = dict.fromkeys(("models.py", "forms.py", "jsontext.py", "schedule.py"), "ConfigError")
_BEFORE_MESSAGE = {"PlanError": 1}


@dataclass(frozen=True, slots=True)
class Message:
    """`kind` is the error's class or the alarm's code; `what` and `todo` are its two halves, with gaps."""

    kind: str
    what: str
    todo: str


def error_messages(source: Path = SOURCE) -> list[Message]:
    """All errors that the source can raise, by class in the tree's order, then by text."""
    order = {each.__name__: place for place, each in enumerate(error_classes())}
    found = {message for path in sorted(source.rglob("*.py")) for message in _errors_in(path, set(order))}
    return sorted(found, key=lambda message: (order[message.kind], message.what, message.todo))


def alarm_messages(source: Path = SOURCE) -> list[Message]:
    """All alarms that the source can raise, by code."""
    found = {message for path in sorted(source.rglob("*.py")) for message in _alarms_in(path)}
    return sorted(found, key=lambda message: (message.kind, message.what))


def messages() -> str:
    """A table for each class of errors."""
    parts = []
    everything = error_messages()
    for each in error_classes():
        own = [message for message in everything if message.kind == each.__name__]
        if own:
            about = (each.__doc__ or "").split("\n")[0]
            head = f"### {each.__name__}\n\n{about} [More](../troubleshooting.md#{each.__name__.lower()})\n\n"
            parts.append(head + "\n".join(_table(own)))
    return "\n\n".join(parts)


def alarms() -> str:
    """One table of all alarms."""
    rows = [
        f"| [`{each.kind}`](../troubleshooting.md#{each.kind}) | {_cell(each.what)} | {_cell(each.todo)} |"
        for each in alarm_messages()
    ]
    return "\n".join(["| alarm | message | what to do |", "| --- | --- | --- |", *rows])


def _table(own: list[Message]) -> Iterator[str]:
    yield "| message | what to do |"
    yield "| --- | --- |"
    for each in own:
        yield f"| {_cell(each.what)} | {_cell(each.todo)} |"


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").replace("<", "&lt;").replace("\n", " ").replace("_", r"\_").replace("*", r"\*")


def _errors_in(path: Path, classes: set[str]) -> Iterator[Message]:
    if path.name == "errors.py":
        return
    for scope, call in _calls(path):
        kind = _name(call.func)
        if kind == "ValueError" and path.name in _VALIDATORS and call.args:
            kind = _VALIDATORS[path.name]
        elif kind not in classes:
            continue
        first = _BEFORE_MESSAGE.get(kind, 0)
        if len(call.args) <= first:
            continue
        if isinstance(call.args[first], ast.Starred):
            yield from (Message(kind, *halves) for halves in _returned(call.args[first], path))
            continue
        what = _text(call.args[first], scope)
        todo = _text(call.args[first + 1], scope) if len(call.args) > first + 1 else ""
        if what.strip(GAP):
            yield Message(kind, what, todo)


def _returned(starred: ast.expr, path: Path) -> Iterator[tuple[str, str]]:
    """What and todo from `raise Error(*function(...))`: the pairs that the function returns."""
    assert isinstance(starred, ast.Starred)
    name = _name(starred.value.func) if isinstance(starred.value, ast.Call) else ""
    for scope in ast.walk(ast.parse(path.read_text())):
        if isinstance(scope, ast.FunctionDef) and scope.name == name:
            for node in ast.walk(scope):
                if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                    what, todo = node.value.elts
                    yield _text(what, scope), _text(todo, scope)


def _alarms_in(path: Path) -> Iterator[Message]:
    for scope, call in _calls(path):
        if _name(call.func) not in ("Alarm", "alarm", "_alarm", "on_alarm") or len(call.args) < 3:
            continue
        code = call.args[1]
        if isinstance(code, ast.Constant) and isinstance(code.value, str):
            todo = _text(call.args[3], scope) if len(call.args) > 3 else ""
            yield Message(code.value, _text(call.args[2], scope), todo)


def _calls(path: Path) -> Iterator[tuple[ast.AST, ast.Call]]:
    """Every call with its enclosing function."""
    tree = ast.parse(path.read_text())
    scopes: dict[ast.AST, ast.AST] = {}
    for node in ast.walk(tree):  # outer functions first, so that the innermost wins
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(node):
                scopes[inner] = node
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield scopes.get(node, tree), node


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _text(value: ast.expr, scope: ast.AST) -> str:
    """The text of an expression, with gaps for runtime values."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.JoinedStr):
        return "".join(_text(part, scope) if isinstance(part, ast.Constant) else GAP for part in value.values)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _text(value.left, scope) + _text(value.right, scope)
    if isinstance(value, ast.IfExp):
        return f"{_text(value.body, scope)} / {_text(value.orelse, scope)}"
    if isinstance(value, ast.Name):
        return _assigned(value.id, scope)
    return GAP


def _assigned(name: str, scope: ast.AST) -> str:
    """The text last assigned to a name in `scope`."""
    text = GAP
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            text = _text(node.value, ast.Module([], []))
    return text
