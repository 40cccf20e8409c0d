"""What a poor file system lacks is a warning, and the record itself (ledger, report, found blocks) is there and holds.

Each call is made to fail, one at a time, in a whole run of the recorder; full inode tables are tried on a real tmpfs.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from solominer.errors import AlreadyRunning
from solominer.records import files
from solominer.records.evidence.verify import verify
from solominer.records.journal.recovery import open_blocks
from solominer.records.ledger.index import LedgerIndex
from solominer.records.lock import FolderLock
from solominer.records.report.period import hour_report, render
from solominer.records.tree import Part
from tests.records.builders import HOUR, Bench, mine
from tests.records.standalone import standalone

FAT_FORBIDDEN = frozenset('":*?<>|\\')


@pytest.fixture(autouse=True)
def no_warnings_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_warned", set())


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, code: int, when: Callable[..., bool] = lambda *_: True) -> None:
    """Make `os.<name>` (or `fcntl.flock`) fail with this errno where `when` says so."""
    owner = fcntl if name == "flock" else os
    real = getattr(owner, name)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            raise OSError(code, os.strerror(code), args[0] if isinstance(args[0], str | os.PathLike) else None)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)


def is_folder(handle: int) -> bool:
    return stat.S_ISDIR(os.fstat(handle).st_mode)


def ends(*names: str) -> Callable[..., bool]:
    return lambda path, *_: str(path).endswith(names)


def over_existing(source: Any, target: Any, *_: Any) -> bool:
    return os.path.lexists(target)


def whole_run(bench: Bench) -> None:
    """Two hours and a restart, with blocks in both."""
    recorder = bench.recorder()
    recorder.open(HOUR)
    mine(bench, recorder, HOUR + 1, blocks=2)
    bench.up += 3600
    recorder.tick(HOUR + 3600)
    assert recorder.flush(30)
    mine(bench, recorder, HOUR + 3700)
    recorder.close(HOUR + 3800)
    recorder = bench.recorder()
    recorder.open(HOUR + 7200)
    mine(bench, recorder, HOUR + 7201)
    recorder.close(HOUR + 7300)


def the_record_is_there(bench: Bench) -> None:
    """Ledger, reports in a chain, found blocks."""
    result, alone = verify(bench.root, thorough=True), standalone(bench.root, "--shares")
    assert result.holds, list(result.lines())
    assert alone.holds, alone.output
    for number, hour in enumerate(("07", "08", "09"), start=1):
        report = json.loads((bench.root / f"reports/2026/11/21/{hour}/report.json").read_text())
        assert report["sequence"] == number
        assert report["shares"]["found"] == (40 if number == 1 else 20)
        assert (bench.root / f"ledger/2026/11/21/{hour}/ledger.jsonl").stat().st_size > 0
    assert len(open_blocks(bench.recorder().tree).blocks) == 2
    assert all(entry.block is not None for entry in open_blocks(bench.recorder().tree).blocks)


FAULTS: list[tuple[str, str, int, Callable[..., bool]]] = [
    ("no links", "symlink", errno.EPERM, lambda *_: True),
    ("links not supported", "symlink", errno.EOPNOTSUPP, lambda *_: True),
    ("no hard links", "link", errno.EPERM, lambda *_: True),
    ("no permissions", "chmod", errno.EPERM, lambda *_: True),
    ("folders not synced", "fsync", errno.EINVAL, is_folder),
    ("folders may not be synced", "fsync", errno.EACCES, is_folder),
    ("folders not opened", "open", errno.EISDIR, lambda path, flags=0, *_: flags == os.O_RDONLY | os.O_CLOEXEC),
    ("nothing synced", "fsync", errno.ENOSYS, lambda *_: True),
    ("no locks", "flock", errno.ENOLCK, lambda *_: True),
    ("locks not supported", "flock", errno.EOPNOTSUPP, lambda *_: True),
    ("locks not there", "flock", errno.ENOSYS, lambda *_: True),
    ("not renamed over", "replace", errno.EEXIST, over_existing),
    ("may not be renamed over", "replace", errno.EACCES, over_existing),
    ("text not written", "open", errno.EACCES, lambda path, *_: ".report.txt." in str(path)),
    ("hours.txt not written", "open", errno.EACCES, ends("hours.txt")),
    ("log not written", "open", errno.EROFS, ends("solominer.log")),
    ("log full", "open", errno.ENOSPC, ends("solominer.log")),
    ("state not written", "open", errno.ENOSPC, lambda path, *_: ".state.json." in str(path)),
    ("state over quota", "open", errno.EDQUOT, lambda path, *_: ".state.json." in str(path)),
    ("too many files for state", "open", errno.ENFILE, lambda path, *_: ".state.json." in str(path)),
    ("no free space told", "statvfs", errno.ENOSYS, lambda *_: True),
    ("nothing removed", "unlink", errno.EPERM, lambda *_: True),
    ("no empty folder removed", "rmdir", errno.EPERM, lambda *_: True),
    ("lock not opened", "open", errno.EROFS, ends("data/lock")),
    ("no lock file at all", "open", errno.ENOSPC, ends("/lock")),
    ("FAT's names", "open", errno.EINVAL, lambda path, *_: bool(FAT_FORBIDDEN & set(str(path)))),
    ("FAT's folder names", "mkdir", errno.EINVAL, lambda path, *_: bool(FAT_FORBIDDEN & set(str(path)))),
]


@pytest.mark.parametrize(("name", "code", "when"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_one_thing_that_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    code: int,
    when: Callable[..., bool],
) -> None:
    bench = Bench(tmp_path / "data")
    called: list[object] = []

    def counted(*args: Any) -> bool:
        if when(*args):
            called.append(args)
            return True
        return False

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "solominer.records"):
        refuse(patched, name, code, counted)
        whole_run(bench)
    the_record_is_there(bench)
    assert bench.alarms == []
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(set(told))
    silent = ("link", "chmod", "rmdir")  # never called, or no matter
    assert not called or name in silent or 1 <= len(told) <= 2, told


def test_without_links_the_latest_report_is_found_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path / "data")
    refuse(monkeypatch, "symlink", errno.EPERM)
    whole_run(bench)
    report = hour_report(bench.recorder().tree, "latest")
    assert report is not None
    assert report["part"] == "2026/11/21/09"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_a_living_daemon_is_noticed_and_a_dead_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    refuse(monkeypatch, "flock", code)
    with subprocess.Popen(["sleep", "60"]) as other:
        began = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        (tmp_path / "lock").write_text(f"{other.pid}\n{began}\n")
        with pytest.raises(AlreadyRunning, match=str(other.pid)):
            FolderLock(tmp_path).acquire()
        other.kill()
    FolderLock(tmp_path).acquire()
    for content in (f"{os.getpid() + 1}\n1\n", "", "x" * 100, "\xff", "99999999999999999999\n1\n"):
        (tmp_path / "lock").write_text(content, encoding="latin-1")
        lock = FolderLock(tmp_path)
        lock.acquire()
        lock.release()


def test_a_parent_that_cannot_be_written_leaves_the_lock_in_the_networks_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "data")
    bench.root.mkdir(parents=True)
    refuse(monkeypatch, "open", errno.EROFS, ends("data/lock"))
    recorder = bench.recorder()
    recorder.open(HOUR)
    with pytest.raises(AlreadyRunning):
        bench.recorder().open(HOUR)
    recorder.close(HOUR + 1)
    assert (bench.root / "lock").is_file()


def test_state_that_cannot_be_saved_forks_no_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old state.json stays behind while hours are sealed: the next start must not go on from its head."""
    bench = Bench(tmp_path / "data")
    recorder = bench.recorder()
    recorder.open(HOUR)
    recorder.close(HOUR + 60)
    with monkeypatch.context() as patched:
        refuse(patched, "open", errno.EACCES, lambda path, *_: ".state.json." in str(path))
        for hour in (1, 2):
            recorder = bench.recorder()
            recorder.open(HOUR + hour * 3600)
            recorder.close(HOUR + hour * 3600 + 60)
    recorder = bench.recorder()
    recorder.open(HOUR + 3 * 3600)
    recorder.close(HOUR + 3 * 3600 + 60)
    assert json.loads((bench.root / "reports/latest/report.json").read_text())["sequence"] == 4
    assert verify(bench.root).holds


def test_the_ledger_is_asked_on_a_disk_where_no_index_can_be_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path / "data")
    whole_run(bench)
    (bench.root / "index.sqlite").mkdir()
    assert len(LedgerIndex(bench.recorder().tree).query("blocks")) > 0
    assert sum("index" in record.getMessage() for record in caplog.records) == 1
    assert render(bench.recorder().tree, "regtest", "2026/11/21").startswith("===")


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for 60 files, where mounting is allowed."""
    folder = tmp_path / "mount"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "nr_inodes=60,size=32m", "none", str(folder)]
    if mount is None or os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_inode_table_loses_nothing_that_was_open_and_all_is_sealed_when_there_are_some(few_inodes: Path) -> None:
    bench = Bench(few_inodes / "data")
    recorder = bench.recorder()
    recorder.open(HOUR)
    mine(bench, recorder, HOUR + 1)
    assert recorder.flush(30)
    fill = few_inodes / "fill"
    fill.mkdir()
    number = 0
    with suppress(OSError):
        while number < 1000:
            (fill / str(number)).write_text("")
            number += 1
    assert number < 100
    bench.up += 3600
    recorder.tick(HOUR + 3600)
    recorder.record(HOUR + 3601, "tip", {})
    assert not recorder.flush(30)
    assert [code for _, code, _, _ in bench.alarms] == ["records-failing"]
    shutil.rmtree(fill)
    assert recorder.flush(30)
    assert [code for _, code, _, _ in bench.alarms] == ["records-failing", "records-recovered"]
    recorder.close(HOUR + 3700)
    assert verify(bench.root, thorough=True).holds
    assert [part.path for part in bench.recorder().tree.parts()] == [Part.at(HOUR).path, Part.at(HOUR + 3600).path]


def test_a_whole_run_on_fat(tmp_path: Path) -> None:
    """Real FAT on a loop device, where there are mkfs.vfat, a kernel that has it, and the right to mount."""
    image, folder = tmp_path / "image", tmp_path / "fat"
    folder.mkdir()
    make = shutil.which("mkfs.vfat") or shutil.which("mkfs.fat", path="/usr/sbin:/sbin")
    if make is None or os.getuid() != 0:
        pytest.skip("no mkfs.vfat here, or not root")
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run([make, str(image)], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False, capture_output=True).returncode:
        pytest.skip("FAT cannot be mounted here")
    try:
        bench = Bench(folder / "data")
        whole_run(bench)
        the_record_is_there(bench)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
