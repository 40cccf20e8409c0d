"""Append-only JSON lines: a torn last line is noticed and closed off, a full disk loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.records.ledger.jsonlines import Appender, close_torn_line, read_lines
from tests.records.builders import files_up_to


@given(st.lists(st.binary(max_size=30), max_size=5), st.binary(max_size=9000))
def test_a_torn_line_is_closed_off_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], tail: bytes
) -> None:
    file = tmp_path_factory.mktemp("torn") / "file"
    torn = tail.replace(b"\n", b"")
    whole = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    file.write_bytes(whole + torn)
    assert close_torn_line(file) == len(torn)
    assert file.read_bytes() == whole + (torn + b"\n" if torn else b"")
    assert close_torn_line(file) == 0


def test_lines_that_are_no_objects_are_told_from_those_that_are(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'{"a":1}\nhalf\n[1]\n{"b":2}\n{"c":3}')
    values = [line.value for line in read_lines(file)]
    assert values == [{"a": 1}, None, None, {"b": 2}, None]
    assert [line.value for line in read_lines(file, 17)] == [{"b": 2}, None]
    assert list(read_lines(tmp_path / "missing")) == []


def test_a_full_disk_loses_no_line_and_tears_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    appender = Appender(file)
    lines = [b'{"n":%d}\n' % number for number in range(100)]
    appender.append(b"".join(lines[:50]))
    with files_up_to(101):
        with pytest.raises(OSError, match="too large"):
            appender.flush()
        assert file.stat().st_size == 101
        appender.append(b"".join(lines[50:]))
        with pytest.raises(OSError, match="too large"):
            appender.flush(durable=True)
    appender.close()
    assert file.read_bytes() == b"".join(lines)
    assert appender.waiting == 0
