"""Bytes into lines: any cut into packets gives the same lines; nothing grows without bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.stratum.lines import MAX_LINE_BYTES, LineReader, Problem

LINES = st.lists(st.binary(max_size=50).map(lambda data: b"{" + data.replace(b"\n", b"")), max_size=20)


@given(LINES, st.lists(st.integers(0, 60), max_size=40))
def test_packets_do_not_matter(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    reader, got = LineReader(), []
    for cut in cuts:
        got += reader.feed(data[:cut])
        data = data[cut:]
    got += reader.feed(data)
    assert got == lines
    assert reader.problem is None


def test_the_longest_line_and_one_byte_more() -> None:
    reader = LineReader()
    assert reader.feed(b"{" * MAX_LINE_BYTES) == []
    assert reader.feed(b"\n{}\n") == [b"{" * MAX_LINE_BYTES, b"{}"]
    assert reader.feed(b"1\n" + b"{" * (MAX_LINE_BYTES + 1) + b"\n2\n") == [b"1"]
    assert reader.problem is Problem.LINE_TOO_LONG
    assert reader.feed(b"3\n") == []
    reader = LineReader()
    assert reader.feed(b"{" * (MAX_LINE_BYTES + 1)) == []
    assert reader.problem is Problem.LINE_TOO_LONG


@given(
    LINES,
    st.integers(MAX_LINE_BYTES + 1, 2 * MAX_LINE_BYTES),
    LINES,
    st.lists(st.integers(1, MAX_LINE_BYTES + 100), max_size=20),
)
def test_what_follows_a_line_that_is_too_long_is_never_read(
    before: list[bytes], length: int, after: list[bytes], cuts: list[int]
) -> None:
    """However it is cut: the lines before it are read, and none that comes behind it, in its packet or later."""
    data = b"".join(line + b"\n" for line in (*before, b"{" * length, *after))
    reader, got = LineReader(), []
    for cut in (*cuts, len(data)):
        got += reader.feed(data[:cut])
        data = data[cut:]
    assert got == before
    assert reader.problem is Problem.LINE_TOO_LONG
    assert reader.unread() == b""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"GET / HTTP/1.1\r\n", Problem.HTTP),
        (b"POST /x HTTP/1.0\r\n", Problem.HTTP),
        (b"PRI * HTTP/2.0\r\n\r\nSM", Problem.HTTP),
        (bytes.fromhex("160301"), Problem.TLS),
        (bytes.fromhex("1603030200"), Problem.TLS),
        (b"GETS\n", None),
        (b"{}\nGET / HTTP/1.1\r\n", None),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_other_protocols(data: bytes, problem: Problem | None, size: int) -> None:
    reader = LineReader()
    lines = [line for at in range(0, len(data), size) for line in reader.feed(data[at : at + size])]
    assert reader.problem is problem
    assert not lines if problem else lines == data.split(b"\n")[:-1]
