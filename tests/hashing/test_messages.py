"""Messages from workers: each comes back as it was, however the pipe cuts the stream. Hypothesis drives the codec."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.pool.messages import MESSAGE_SIZE, Hit, Message, Ready, Report, Share, Wrong, pack, take

WORDS = st.integers(0, (1 << 32) - 1)
LONGS = st.integers(0, (1 << 64) - 1)
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
hits = st.builds(Hit, LONGS, st.binary(min_size=12, max_size=12), WORDS, WORDS, WORDS, LONGS)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Ready, TEXTS), st.builds(Report, TEXTS), st.builds(Share, hits, st.booleans()), st.builds(Wrong, hits)
)


@given(st.lists(messages, max_size=8), st.integers(1, 500))
def test_messages_come_back_however_the_stream_is_cut(sent: list[Message], piece: int) -> None:
    stream = b"".join(map(pack, sent))
    buffer = bytearray()
    got: list[Message] = []
    for at in range(0, len(stream), piece):
        buffer += stream[at : at + piece]
        got += take(buffer)
    assert got == sent
    assert not buffer


def test_text_too_long_is_cut() -> None:
    data = pack(Report("é" * 500))
    assert len(data) == MESSAGE_SIZE
    (report,) = take(bytearray(data))
    assert isinstance(report, Report)
    assert report.text.startswith("é" * 90)
