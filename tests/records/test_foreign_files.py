"""Files of others in the tree: sown at every level, they stop nothing, are named in warnings, and none is deleted."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solominer.records import files
from solominer.records.evidence.verify import verify
from solominer.records.journal.recovery import open_blocks
from solominer.records.ledger.index import LedgerIndex
from solominer.records.ledger.retention import Retention
from solominer.records.recorder import Recorder
from solominer.records.report.period import render
from solominer.records.settings import RecorderSettings
from solominer.records.tree import SECTIONS, Part
from tests.records.builders import HOUR, Bench, mine
from tests.records.standalone import standalone

HASH = "ab" * 32


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No warnings yet; and pytest's own cleaning does not go as deep as these folders."""
    monkeypatch.setattr(files, "_warned", set())
    yield
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)


def text(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("theirs")


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def unix_socket(path: Path) -> None:
    if len(path.name) > 100:  # a socket's name is short
        folder(path)
        return
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42 if path.name != "nothing" else 0)


def unreadable(path: Path) -> None:
    path.write_text("theirs")
    path.chmod(0)


def deep(path: Path) -> None:
    """Deeper than Python's own recursion goes."""
    path.mkdir()
    handle = os.open(path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)


KINDS: dict[str, Callable[[Path], object]] = {
    "text": text("theirs"),
    "empty": text(""),
    "bytes": text(b"\xff\x00\x1b[2J"),
    "array": text("[1, 2]"),
    "number": text("1e999"),
    "wrong types": text('{"schema": 1, "part": [], "sequence": "x", "unsealed": 5, "head": {"part": 3}, "parts": 7}'),
    "deep JSON": text("[" * 100_000),
    "folder": folder,
    "pipe": os.mkfifo,
    "socket": unix_socket,
    "dangling link": link("/nowhere/at/all"),
    "loop": link("."),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to zeros": link("/dev/zero"),
    "huge": huge,
    "unreadable": unreadable,
}

NAMES = ["notes", ".DS_Store", "x\ny", "\x1b[31m", "a-b", "2026", "21", "07.x", "9999", "report.json.1", "n" * 255]
BROKEN_NAME = os.fsdecode(b"bad\xff\xfe.json")
OUR_NAMES = {
    "reports": ["report.json", "report.json.sha256", "SHA256SUMS", "report.txt", "report.sig"],
    "errors": ["errors.json"],
    "ledger": ["ledger.jsonl"],
    "logs": ["solominer.log"],
    "proofs": ["best-hashes.json", "best-share.json", f"200-{HASH}.json"],
    "submissions": [f"200-{HASH}"],
}


EXAMPLES = int(os.environ.get("SOLOMINER_TEST_EXAMPLES", "25"))
SHIFTS = range(2 if EXAMPLES < 200 else len(KINDS))
"""In how many ways the kinds are dealt out to the places."""


def sow_all(root: Path, places: list[str], shift: int) -> list[Path]:
    """Each place gets another kind."""
    kinds = list(KINDS)
    sown = [sow(root / place, kinds[(7 * shift + number) % len(kinds)]) for number, place in enumerate(places)]
    return [path for path in sown if path is not None]


def sow(place: Path, kind: str) -> Path | None:
    """Something of this kind at the place, unless something is there already."""
    if os.path.lexists(place):
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](place)
    return place


def contents(root: Path) -> dict[tuple[int, int], str]:
    """What there is by inode: device and number, and its path; renaming changes no inode."""
    found, waiting = {}, [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                found[facts.st_dev, facts.st_ino] = entry.path
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return found


def inodes(places: list[Path]) -> dict[tuple[int, int], str]:
    found = {}
    for place in places:
        facts = place.lstat()
        found[facts.st_dev, facts.st_ino] = str(place)
    return found


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def everything_goes_on(bench: Bench, open_hour: Callable[[Recorder], list[Path]] = lambda recorder: []) -> None:
    """Start, mine, seal, look at it in every way, start again. What `open_hour` sows comes while an hour is open."""
    recorder = bench.recorder()
    recorder.open(HOUR)
    mine(bench, recorder, HOUR + 1, blocks=2)
    assert recorder.flush(30)
    sown = open_hour(recorder)
    before = inodes(sown)
    mine(bench, recorder, HOUR + 100)
    bench.up += 3600
    recorder.tick(HOUR + 3600)
    assert recorder.flush(30)
    mine(bench, recorder, HOUR + 3700)
    recorder.close(HOUR + 3800)
    recorder = bench.recorder()
    recorder.open(HOUR + 7200)
    mine(bench, recorder, HOUR + 7201)
    recorder.close(HOUR + 7300)
    tree = bench.recorder().tree
    reports = [part for part in tree.parts() if 0 < _size(tree.folder("reports", part) / "report.json") < 1 << 20]
    counted = 0
    for part in reports:
        try:
            counted += json.loads((tree.folder("reports", part) / "report.json").read_text())["shares"]["found"]
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            continue  # not one of ours
    assert counted == 100
    sequences = [line for line in verify(bench.root).wrong if "chain lacks" in line[1]]
    assert sequences == []
    standalone(bench.root)
    assert len(LedgerIndex(tree).query("shares")) == 100
    assert render(tree, "regtest", "latest").startswith("===")
    assert render(tree, "regtest", "2026/11/21").startswith("===")
    assert sum(entry.block is not None for entry in open_blocks(tree).blocks) == 2
    everything = Retention(tree, RecorderSettings(quota_bytes=0, free_bytes=0))
    everything.carry_out(everything.plan(Part.at(HOUR + 86_400), HOUR + 9000, set()))
    after = contents(bench.root)
    assert [path for inode, path in before.items() if inode not in after] == []
    assert {alarm[1] for alarm in bench.alarms} <= {"clock"}


ROUNDS: dict[str, list[str]] = {
    "beside": [
        *[f"{section}/{name}" for section in SECTIONS for name in NAMES[:5]],
        *[f"{section}/2026/11/21/{name}" for section in SECTIONS for name in ("notes", "99", "07.1", "06")],
        *[f"{section}/2031/01/01/00/{name}" for section, names in OUR_NAMES.items() for name in names],
        *[f"{section}/2031/01/01/01/{name}" for section in SECTIONS for name in NAMES],
        "reports/latest",
        "reports/2026/11/21/day.json",
        f"submissions/2025/01/01/00/200-{HASH}/block.hex",
        f"submissions/2025/01/01/00/200-{HASH}/facts.json",
        f"submissions/2025/01/01/00/200-{HASH}/states.jsonl",
        "state.json", "hours.txt", "hours.txt.1", "index.sqlite", "control.sock",
    ],
    "sections": list(SECTIONS),
    "years": [f"{section}/2026" for section in SECTIONS],
    "days": [f"{section}/2026/11/21" for section in SECTIONS],
    "hours": [f"{section}/2026/11/21/07" for section in SECTIONS],
    "in the hour": [f"{section}/2026/11/21/07/{name}" for section, names in OUR_NAMES.items() for name in names],
}  # fmt: skip


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("places", ROUNDS)
def test_sown_before_the_first_start(tmp_path: Path, shift: int, places: str, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path / "data")
    sown = sow_all(bench.root, ROUNDS[places], shift)
    before = {inode: path for inode, path in inodes(sown).items() if not _is_replaced(path)}
    everything_goes_on(bench)
    after = contents(bench.root)
    assert [path for inode, path in before.items() if inode not in after] == []
    told = [record.getMessage() for record in caplog.records if record.name == "solominer.records"]
    assert len(told) == len(set(told))
    assert all(message.isprintable() for message in told)


def _is_replaced(path: str) -> bool:
    """Files by our own names at the top: conveniences that are made again."""
    return path.rpartition("/")[2] in ("state.json", "hours.txt", "hours.txt.1", "index.sqlite", "latest", "day.json")


def test_folders_deeper_than_python_goes(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data")
    for place in ("logs/2031/01/01/00", "reports"):
        (bench.root / place).mkdir(parents=True)
        deep(bench.root / place / "deep")
    everything_goes_on(bench)


@pytest.mark.parametrize("shift", SHIFTS)
def test_sown_into_an_open_hour(tmp_path: Path, shift: int, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path / "data")

    def into_open_hour(recorder: Recorder) -> list[Path]:
        names = [*NAMES, BROKEN_NAME]
        sown = sow_all(bench.root, [f"{section}/2026/11/21/07/{name}" for section in SECTIONS for name in names], shift)
        ours = [f"{section}/2026/11/21/07/{name}" for section, own in OUR_NAMES.items() for name in own]
        for number, place in enumerate([*ours, "reports/2026/11/21/day.json"]):
            path = sow(bench.root / place, ("pipe", "folder", "dangling link", "link to zeros")[(number + shift) % 4])
            sown += [] if path is None else [path]
        return sown

    with caplog.at_level(logging.WARNING, "solominer.records"):
        everything_goes_on(bench, into_open_hour)
    told = [record.getMessage() for record in caplog.records]
    assert told
    assert len(told) == len(set(told))
    assert all(message.isprintable() for message in told)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
KIND_OF_LINE = st.sampled_from(
    ["open", "begin", "work", "share", "counters", "health", "system", "error", "block_found", "block_state",
     "template", "latency", "torn", "lost", "diagnostics", "block_answer"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["counters", "job", "hash", "worker", "nbits", "share_target_hex", "fees_sats", "severity", "id", "code", "bytes",
     "entries", "what", "secs", "node", "usable", "state", "height", "plan", "workers", "rpc_secs", "cpu_percent"]
)  # fmt: skip
FRAME = st.fixed_dictionaries({"seq": st.integers(1, 99) | VALUES, "at": st.floats(0, 2e9) | VALUES,
                               "up": st.floats(0, 1e6) | VALUES, "kind": KIND_OF_LINE | VALUES})  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(FRAME, st.dictionaries(KEYS, VALUES, max_size=6)), max_size=8), st.booleans())
def test_whatever_stands_in_a_ledger_that_a_crash_left(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[dict[str, Any], dict[str, Any]]], same_hour: bool
) -> None:
    bench = Bench(tmp_path_factory.mktemp("ledger") / "data")
    hour = "07" if same_hour else "05"
    ledger = bench.root / f"ledger/2026/11/21/{hour}/ledger.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("".join(json.dumps({**fields, **frame}) + "\n" for frame, fields in lines))
    recorder = bench.recorder()
    recorder.open(HOUR)
    mine(bench, recorder, HOUR + 1, shares=2)
    recorder.close(HOUR + 60)
    recorder = bench.recorder()
    recorder.open(HOUR + 3600)
    recorder.close(HOUR + 3660)
    assert {alarm[1] for alarm in bench.alarms} <= {"clock", "hour-not-sealed"}
    verify(bench.root, thorough=True)
    render(bench.recorder().tree, "regtest", "all")
    assert len(LedgerIndex(bench.recorder().tree).query("shares")) >= 2


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["head", "unsealed", "schema", "part", "sequence", "sha256"]), VALUES))
def test_whatever_stands_in_state_json(tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]) -> None:
    bench = Bench(tmp_path_factory.mktemp("state") / "data")
    for hour in (0, 1):
        recorder = bench.recorder()
        recorder.open(HOUR + hour * 3600)
        recorder.close(HOUR + hour * 3600 + 60)
        (bench.root / "state.json").write_text(json.dumps(value))
    assert bench.alarms == []
    assert verify(bench.root).holds


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_the_newest_report_was_changed_to(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One field of it is something else: the next hour is sealed, and the change is named."""
    bench = Bench(tmp_path_factory.mktemp("report") / "data")
    recorder = bench.recorder()
    recorder.open(HOUR)
    mine(bench, recorder, HOUR + 1, shares=2)
    recorder.close(HOUR + 60)
    path = bench.root / "reports/2026/11/21/07/report.json"
    report = json.loads(path.read_text())
    section = data.draw(st.sampled_from(sorted(report)))
    if isinstance(report[section], dict) and report[section] and data.draw(st.booleans()):
        report[section][data.draw(st.sampled_from(sorted(report[section])))] = data.draw(VALUES)
    else:
        report[section] = data.draw(VALUES)
    path.write_text(json.dumps(report, indent=2))
    recorder = bench.recorder()
    recorder.open(HOUR + 3600)
    mine(bench, recorder, HOUR + 3601, shares=2)
    recorder.close(HOUR + 3660)
    newest = json.loads((bench.root / "reports/2026/11/21/08/report.json").read_text())
    assert newest["sequence"] == 2
    assert not verify(bench.root).holds
    assert {alarm[1] for alarm in bench.alarms} <= {"clock"}
