"""Modes and exit codes, from the program's own tables and classes."""

from __future__ import annotations

from collections.abc import Iterator

from solominer import errors
from solominer.config.modes import MODES, SMOKE_TEST
from solominer.daemon.every_run import EXIT_SECOND_SIGNAL
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
    """All classes of errors.py, in order."""
    for each in vars(errors).values():
        if isinstance(each, type) and issubclass(each, SolominerError):
            yield each


def exit_codes() -> str:
    """All exit codes with their errors."""
    by_code: dict[int, list[str]] = {}
    for each in error_classes():
        by_code.setdefault(each.exit_code, []).append(each.__name__)
    meanings = {
        0: "success; for `run`: stopped by a signal, a limit or the schedule",
        1: "another error, or a part of the daemon ended unexpectedly: restart it",
        2: "the configuration, an address, the plan or the command line is invalid: restarting does not help",
        3: "another daemon is using the same data folder",
        4: "no bitcoind for a private node",
        5: "the node is unreachable, rejects the credentials, is on another network, or replied with an error",
        6: "no kernel or worker works on this machine",
        7: "records, journal or ledger cannot be read or written, or evidence is invalid",
        8: "no daemon is running in this data folder, or it does not reply",
        EXIT_SECOND_SIGNAL: "ended by a second signal, or by Ctrl-C before the daemon had started",
    }
    missing = by_code.keys() - meanings.keys()
    if missing:
        raise KeyError(f"undocumented exit codes: {missing}")
    rows = [f"| {code} | {text} | {', '.join(by_code.get(code, []))} |" for code, text in meanings.items()]
    return "\n".join(["| code | meaning | errors |", "| ---: | --- | --- |", *rows])
