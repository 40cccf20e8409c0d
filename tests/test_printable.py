"""Foreign text on its way to a terminal or a log: nothing in it can act there, and there is never too much of it."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.doctor.check import Check, ok, run_checks
from solominer.errors import NodeError, SolominerError, printable, printable_lines
from solominer.views.logs import RecentEvents, set_up_logging

NASTY = "\x1b[2J\x07\x9b31m\u202e\u2028\u200b\x00\ud800red"


@given(st.one_of(st.text(), st.binary()), st.integers(1, 50))
def test_what_is_printable_has_one_line_and_an_end(text: str | bytes, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    shown.encode()
    assert len(shown) <= limit + 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, ünïcode, 漢字 …", "plain words, ünïcode, 漢字 …"),
        ("a\tb\nc\r", "a\\tb\\nc\\r"),
        ("\x1b[31m", "\\x1b[31m"),
        (b"\xff\x00ok", "\\xff\\x00ok"),
        ("\u202eevil", "\\u202eevil"),
        ("", ""),
    ],
)
def test_it_stays_readable(text: str | bytes, shown: str) -> None:
    assert printable(text) == shown


def test_lines_of_ours_stay_lines() -> None:
    assert printable_lines("one\n  two\x1b") == "one\n  two\\x1b"
    assert len(printable_lines("x\n" * 10_000, 100)) == 100


def test_every_error_is_printable() -> None:
    error = NodeError(f"node {NASTY}", f"do {NASTY}")
    assert str(error).replace("\n", "").isprintable()
    assert len(str(SolominerError("x" * 1_000_000))) < 5000


def test_every_finding_is_printable() -> None:
    (finding,) = run_checks([Check("node warnings", lambda: ok(NASTY))])
    assert finding.evidence.isprintable()


@pytest.fixture
def log() -> logging.Logger:
    """The program's logger."""
    return logging.getLogger("solominer.test")


@pytest.mark.parametrize("under_systemd", [False, True])
def test_no_record_reaches_a_terminal_raw(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, under_systemd: bool
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if under_systemd:
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    recent = set_up_logging("info", live_view=False)
    try:
        log.warning("node says %s", f"{NASTY}\nERROR    a line of its own")
        try:
            raise ValueError(NASTY)
        except ValueError:
            log.exception("unexpected")
    finally:
        logging.getLogger("solominer").handlers.clear()
    lines = capsys.readouterr().err.split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("ERROR    a line") for line in lines)
    assert sum("a line of its own" in line for line in lines) == 1
    assert any("Traceback" in line for line in lines)
    assert isinstance(recent, RecentEvents)
    assert all(text.isprintable() for _, text in recent.lines)
