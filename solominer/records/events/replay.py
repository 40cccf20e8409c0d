"""Replays recorded events in a new coordinator and compares its actions with the recorded digests."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solominer import __version__
from solominer.config.paths import open_regular
from solominer.errors import RecordsError, SolominerError
from solominer.records.events.codec import KINDS, Decoder
from solominer.records.events.event_log import DAY_BYTES, FORMAT, VERSION, EventFile, Start, digest
from solominer.records.files import reason, shown
from solominer.work.actions import Action
from solominer.work.events import Event

_CHUNK, _MOST_LINE, _MOST_PLAIN = 1 << 16, 16 << 20, 8 << 30


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event, counted from 1, whose actions differ from the recorded ones.

    `actions` are the new ones; `fault` is the exception raised instead, if any.
    """

    number: int
    event: Event
    actions: tuple[Action, ...]
    fault: str = ""


@dataclass(slots=True)
class ReplayOutcome:
    """The result of replaying one run. `ends` is the reason that the recording ends early, or ''."""

    run: str
    written_by: str = ""
    events: Counter[str] = field(default_factory=Counter)
    actions: int = 0
    ends: str = ""
    difference: Difference | None = None


def replay(files: Sequence[EventFile], until: float | None = None) -> ReplayOutcome:
    """Replay a run from its start through the last of its `files`, or up to the first event at or after `until`.

    Stops at the first difference. Raises RecordsError if files are missing, damaged or of another version.
    """
    outcome = ReplayOutcome(files[0].run)
    machine = None
    for number, file in enumerate(files):
        if file.number != number:
            raise RecordsError(
                f"file {number} of run {file.run} is missing; a run can only be replayed from its start",
                "choose another hour, or restore the file",
            )
        lines, decoder = _Lines(file.path), Decoder()
        raws = lines.read()
        start = _start(file, next(raws, None), decoder, outcome)
        machine = machine or start.coordinator()
        outcome.ends = ""
        for raw in raws:
            if isinstance(raw, list) and len(raw) == 2 and raw[0] == "end":
                outcome.ends = f"recording stopped: {shown(raw[1])}"
                return outcome
            event, done = _event(file, raw, decoder, outcome)
            if until is not None and event.at.wall >= until:
                return outcome
            outcome.events[type(event).__name__] += 1
            try:
                actions = machine.handle(event)
            except Exception as error:  # noqa: BLE001 - any fault of the coordinator is a finding
                fault = f"{type(error).__name__}: {error}"
                outcome.difference = Difference(outcome.events.total(), event, (), shown(fault))
                return outcome
            outcome.actions += len(actions)
            if digest(actions) != done:
                outcome.difference = Difference(outcome.events.total(), event, tuple(actions))
                return outcome
        if lines.torn:
            outcome.ends = "its last file is incomplete: the daemon was killed, or is still running"
    return outcome


def _start(file: EventFile, head: Any, decoder: Decoder, outcome: ReplayOutcome) -> Start:
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise RecordsError(f"{shown(file.path)} is not an event file", "pass an hour, or a file below events/")
    outcome.written_by = shown(head.get("solominer"), 40)
    if head.get("version") != VERSION:
        version = shown(head.get("version"), 20)
        raise RecordsError(
            f"{shown(file.path)} has format version {version}, this version reads {VERSION}",
            f"use solominer {outcome.written_by}",
        )
    if (head.get("run"), head.get("number")) != (file.run, file.number):
        raise RecordsError(f"{shown(file.path)} has the content of another run or day", "restore the file")
    try:
        start: Start = decoder.decode(Start, head.get("start"))
    except (ValueError, TypeError, SolominerError) as error:
        raise _damaged(file, 1, str(error), outcome) from error
    return start


def _event(file: EventFile, raw: Any, decoder: Decoder, outcome: ReplayOutcome) -> tuple[Event, str]:
    try:
        kind, values, done = (*raw, "") if len(raw) == 2 else raw
        event: Event = decoder.decode(KINDS[kind], values)
    except (ValueError, TypeError, KeyError, SolominerError) as error:
        raise _damaged(file, outcome.events.total() + 1, str(error), outcome) from error
    return event, done


def _damaged(file: EventFile, number: int, why: str, outcome: ReplayOutcome) -> RecordsError:
    todo = "restore it, or choose another hour"
    if outcome.written_by not in ("", __version__):
        todo = f"it was written by solominer {outcome.written_by}, this is {__version__}: use that version"
    return RecordsError(f"{shown(file.path)} is damaged at event {number}: {why:.200}", todo)


class _Lines:
    """The lines of one file as JSON values, without a torn last line. `torn`: the gzip stream was not finished."""

    def __init__(self, path: Path) -> None:
        self.torn = False
        self._path = path

    def read(self) -> Iterator[Any]:
        """Parse line by line. Raises RecordsError."""
        waiting = b""
        try:
            for data in self._unpacked():
                *whole, waiting = (waiting + data).split(b"\n")
                if len(waiting) > _MOST_LINE:
                    raise ValueError(f"a line has more than {_MOST_LINE} bytes")
                for line in whole:
                    yield json.loads(line)
        except (ValueError, RecursionError, zlib.error) as error:
            raise RecordsError(f"{shown(self._path)} is damaged: {error}", "choose another hour") from error
        except OSError as error:
            raise RecordsError(f"{shown(self._path)} cannot be read: {reason(error)}", "choose another hour") from error

    def _unpacked(self) -> Iterator[bytes]:
        unpacker, read, plain = zlib.decompressobj(31), 0, 0
        with open_regular(self._path) as handle:
            while not unpacker.eof:
                packed = unpacker.unconsumed_tail or handle.read(_CHUNK)
                if not packed:
                    self.torn = True
                    yield unpacker.flush()
                    return
                data = unpacker.decompress(packed, _CHUNK)
                read, plain = read + len(packed) - len(unpacker.unconsumed_tail), plain + len(data)
                if read > 2 * DAY_BYTES or plain > _MOST_PLAIN:
                    raise ValueError("it is larger than any event file")
                yield data
