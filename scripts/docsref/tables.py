"""Modes and exit codes, from the tables and classes that the program itself uses."""

from __future__ import annotations

from collections.abc import Iterator

from solominer import errors
from solominer.config.modes import MODES, SMOKE_TEST
from solominer.daemon.daemon import EXIT_SECOND_SIGNAL
from solominer.errors import SolominerError


def modes() -> str:
    """One row for each mode."""
    rows = [
        f"| `{mode.name}` | {mode.network}{' or another' if mode.other_networks else ''} | {mode.node} "
        f"| {'yes' if mode.submits else 'no'} | {mode.about} |"
        for mode in (*MODES.values(), SMOKE_TEST)
    ]
    return "\n".join(["| mode | network | node | submits | what it does |", "| --- | --- | --- | --- | --- |", *rows])


def error_classes() -> Iterator[type[SolominerError]]:
    """The whole tree of errors.py, in its order there."""
    for each in vars(errors).values():
        if isinstance(each, type) and issubclass(each, SolominerError):
            yield each


def exit_codes() -> str:
    """Every code the program ends with, and the errors that it stands for."""
    by_code: dict[int, list[str]] = {}
    for each in error_classes():
        by_code.setdefault(each.exit_code, []).append(each.__name__)
    said = {
        0: "it did what was asked; for `run`, it was told to stop, or a limit or schedule ended it",
        1: "an error without a code of its own, or a part of the daemon that ended by itself: start it again",
        2: "the configuration, an address, the plan or the command line is wrong: starting again does not help",
        3: "another daemon works in the same data folder",
        4: "no bitcoind for a private node",
        5: "the node: not reachable, refuses the credentials, is on another network, or answers with an error",
        6: "no kernel or worker can do its work on this machine",
        7: "records, journal or ledger cannot be read or written, or evidence does not hold",
        8: "no daemon runs in this data folder, or it does not answer",
        EXIT_SECOND_SIGNAL: "ended by a second signal, or by Ctrl-C before the daemon had begun",
    }
    missing = by_code.keys() - said.keys()
    if missing:
        raise KeyError(f"exit codes without a word in the documents: {missing}")
    rows = [f"| {code} | {text} | {', '.join(by_code.get(code, []))} |" for code, text in said.items()]
    return "\n".join(["| code | meaning | errors |", "| ---: | --- | --- |", *rows])
