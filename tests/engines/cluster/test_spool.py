"""A node's shares outlive its process until the server has them."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from solominer.engines.cluster import spool as module
from solominer.engines.cluster.messages import ShareMessage
from solominer.engines.cluster.spool import Spool

SHARE = ShareMessage(7, 1, bytes(12), 0x20000000, 1_700_000_000, 0, False, "cpu0", "fake", 3)


def share(nonce: int, *, is_block: bool = False) -> ShareMessage:
    return replace(SHARE, nonce=nonce, is_block=is_block)


def loaded(path: Path) -> list[ShareMessage]:
    """What another process finds there."""
    spool = Spool(Path(shutil.copy(path, path.with_suffix(".copy"))))
    spool.load()
    spool.close()
    return spool.waiting


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node" / "shares.spool"


def test_what_the_server_does_not_have_comes_back(path: Path) -> None:
    spool = Spool(path)
    spool.load()
    for nonce in range(3):
        assert spool.add(share(nonce)) is None
    handle = spool.add(share(3, is_block=True))
    assert handle is not None
    os.fsync(handle)
    spool.done(share(1).message_id)
    assert share(1).message_id not in spool
    assert loaded(path) == [share(0), share(1), share(2), share(3, is_block=True)]  # more often rather than never
    for each in spool.waiting:
        spool.done(each.message_id)
    assert len(spool) == 0
    assert path.stat().st_size == 0
    spool.add(share(9))
    assert loaded(path) == [share(9)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_wherever_it_is_torn_what_is_whole_comes_back_and_more_can_follow(path: Path) -> None:
    spool = Spool(path)
    spool.add(share(0))
    first = path.stat().st_size
    spool.add(share(1))
    whole = path.read_bytes()
    for end in range(first, len(whole), 7):
        for torn in (whole[:end], whole[:end] + bytes(len(whole) - end)):
            path.write_bytes(torn)
            again = Spool(path)
            again.load()
            assert again.waiting == [share(0)]
            again.add(share(2))
            again.close()
            assert loaded(path) == [share(0), share(2)]


def test_a_record_of_another_version_is_said_and_stays_for_it(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(path)
    spool.add(share(0))
    data = path.read_bytes()
    body = b"\x09\x02 of another version"
    foreign = len(body).to_bytes(4, "little") + crc32(body).to_bytes(4, "little") + body
    path.write_bytes(foreign + data)
    assert loaded(path) == [share(0)]
    assert f"stay in {path.with_suffix('.copy')}, unsent: a message of version 9" in caplog.text
    again = Spool(path)
    again.load()
    again.done(share(0).message_id)
    assert path.read_bytes() == foreign
    again.add(share(1))
    assert path.read_bytes().startswith(foreign)
    assert loaded(path) == [share(1)]


def test_a_disk_that_fails_is_said_once_and_shares_stay_in_memory(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.write_text("in the way")
    spool = Spool(path)
    spool.load()
    assert spool.add(share(0, is_block=True)) is None
    spool.add(share(1))
    assert caplog.text.count("in memory alone") == 1
    assert spool.waiting == [share(0, is_block=True), share(1)]
    path.parent.unlink()
    spool.add(share(2))
    assert loaded(path) == [share(0, is_block=True), share(1), share(2)], "what the disk did not take is written now"


def test_a_disk_that_fills_up_in_a_record_costs_no_later_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(path)
    spool.add(share(0))

    awaited = replace(share(1), worker="stratum/rig.1")

    def half(handle: int, data: bytes) -> None:
        os.write(handle, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as full:
        full.setattr(module, "write_all", half)
        assert spool.add(awaited) is None
        assert spool.is_failing
    assert spool.add(share(2, is_block=True)) is None  # it is synced with all others
    assert not spool.is_failing
    assert loaded(path) == [share(0), awaited, share(2, is_block=True)]


def test_a_share_for_which_a_miner_waits_is_to_be_synced(path: Path) -> None:
    spool = Spool(path)
    handle = spool.add(replace(SHARE, worker="stratum/rig.1"))
    assert handle is not None
    os.fsync(handle)


def test_too_many_shares_cost_the_oldest_and_never_a_block(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SHARES", 3)
    spool = Spool(path)
    spool.add(share(0, is_block=True))
    for nonce in range(1, 6):
        spool.add(share(nonce))
    assert spool.waiting == [share(0, is_block=True), share(4), share(5)]
    assert spool.dropped == 3
    for nonce in range(6, 9):
        spool.add(share(nonce, is_block=True))
    assert [each.nonce for each in spool.waiting] == [0, 6, 7, 8]


def test_a_file_that_is_too_large_is_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 700)
    spool = Spool(path)
    for nonce in range(50):
        spool.add(share(nonce, is_block=nonce == 0))
        if nonce % 5:
            spool.done(share(nonce).message_id)
    assert path.stat().st_size < 4000
    assert set(spool.waiting) <= set(loaded(path))
