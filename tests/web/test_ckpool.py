"""ckpool's status files, as ckstats reads them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.web.compat import ckpool
from solominer.web.compat import history as history_module
from solominer.web.compat.ckpool import suffixed, write
from solominer.web.site import Site
from tests.web.shapes import check
from tests.web.site import ADDRESS, OWN, Ledger, miner, site, status, tell

RIG = f"stratum/{ADDRESS}.rig"


def records(folder: Path, minutes: int = 120) -> Site:
    """A rig at exactly one difficulty-1 share a second until now, one share a minute."""
    here = site(folder / "records")
    ledger, began = Ledger(here), time.time() - 60 * minutes
    ledger.add(began, "open", {"run": "a"})
    for minute in range(1, minutes + 1):
        at = began + 60 * minute
        ledger.add(at, "counters", {"counters": {"cpu/0": 0}, "credited": {RIG: 60.0 * minute}})
        best = f"{(1 << 224) // 5000:064x}"
        ledger.add(at, "miners", {"miners": [{"worker": RIG, "user_agent": "x", "shares": 1, "best": best}]})
    return here


def read(folder: Path) -> tuple[list[Any], dict[str, Any]]:
    """The three lines of pool.status and the user's file, and that ckstats' way of joining lines works."""
    text = (folder / "pool/pool.status").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    joined = json.loads("[" + re.sub(r"}\s*{", "},{", text.replace("\n", "")) + "]")
    assert joined == lines
    return lines, json.loads((folder / "users" / ADDRESS).read_text())


def test_the_files_have_ckpools_shape_and_the_ledgers_rates(tmp_path: Path) -> None:
    here = records(tmp_path)
    with here.work.current() as history:
        write(tmp_path / "files", json.loads(json.dumps(_dict(status()))), history)
    lines, user = read(tmp_path / "files")
    for number, line in enumerate(lines, 1):
        check("ckpool", f"pool.status {number}", line)
    check("ckpool", "users", user)
    check("ckpool", "users worker[]", user["worker"])
    assert {lines[1][f"hashrate{window}"] for window in ("1m", "5m", "15m", "1hr", "6hr", "1d", "7d")} == {"4.29G"}
    assert user["worker"][0]["hashrate1hr"] == "4.29G"
    assert lines[2]["SPS1h"] == pytest.approx(1 / 60, rel=0.1)
    assert (lines[0]["Users"], lines[0]["Workers"], lines[2]["rejected"]) == (2, 2, 2)
    assert user["worker"][0]["workername"] == f"{ADDRESS}.rig"
    assert user["shares"] == int(5e15) >> 32
    assert time.time() - user["lastshare"] < 90
    assert json.loads((tmp_path / "files/users" / OWN).read_text())["worker"][0]["workername"] == f"{OWN}.cpu-0"
    assert not [path.name for path in (tmp_path / "files").rglob("*") if path.is_file() and ".tmp" in path.name]


def test_a_silent_rig_decays(tmp_path: Path) -> None:
    """Two hours of work that ended ten minutes ago."""
    here = site(tmp_path)
    ledger, began = Ledger(here), time.time() - 600 - 7200
    ledger.add(began, "open", {"run": "a"})
    for minute in range(1, 121):
        ledger.add(began + 60 * minute, "counters", {"counters": {}, "credited": {RIG: 60.0 * minute}})
    with here.work.current() as history:
        work, end_at = history.worker(RIG).work, time.time()
        assert work.rate(60, end_at) == 0
        assert work.rate(900, end_at) == pytest.approx((900 - 510) / 900, rel=0.02)
        assert work.rate(3600, end_at) == pytest.approx((3600 - 510) / 3600, rel=0.02)


def test_a_restart_of_the_daemon_counts_from_zero(tmp_path: Path) -> None:
    here = site(tmp_path)
    ledger, now = Ledger(here), time.time()
    ledger.add(now - 200, "counters", {"counters": {"cpu/0": 1 << 60}})  # how it came to that is out of sight
    ledger.add(now - 140, "counters", {"counters": {"cpu/0": (1 << 60) + (60 << 32)}})
    ledger.add(now - 120, "open", {"run": "b"})
    ledger.add(now - 60, "counters", {"counters": {"cpu/0": 60 << 32}})
    ledger.add(now - 1, "counters", {"counters": {"cpu/0": "many"}})  # malformed: passed over
    with here.work.current() as history:
        assert history.work.rate(3600, now) * 140 == pytest.approx(120)


def test_the_best_ever_outlives_a_restart(tmp_path: Path) -> None:
    here = records(tmp_path, 2)
    for best in (9e6, 3.0):
        with here.work.current() as history:
            rig = miner(f"{ADDRESS}.rig", best_difficulty=best)
            write(tmp_path, _dict(status(rig)), history)
    user = read(tmp_path)[1]
    assert (user["bestever"], user["bestshare"] < 6000) == (9_000_000, True)
    (tmp_path / "users" / ADDRESS).write_text("not JSON")
    with here.work.current() as history:
        write(tmp_path, _dict(status(rig)), history)
    assert read(tmp_path)[1]["bestever"] == 4999


def test_no_name_leaves_the_folder(tmp_path: Path) -> None:
    here = records(tmp_path, 1)
    with here.work.current() as history:
        write(tmp_path / "files", _dict(status(miner("../../../evil.rig"), miner("..................evil"))), history)
    assert [path.name for path in (tmp_path / "files/users").iterdir()] == [OWN]


def test_they_are_written_while_the_daemon_runs_and_trouble_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = records(tmp_path, 1)
    folder = tmp_path / "a file"
    folder.write_text("")
    monkeypatch.setattr(ckpool, "WRITE_SECS", 0.01)

    async def run() -> None:
        task = asyncio.create_task(ckpool.keep_written(here, folder))
        await asyncio.sleep(0.05)
        assert folder.is_file()  # no daemon, nothing written
        tell(here, status())
        async with asyncio.timeout(20):
            while "cannot be written" not in caplog.text:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        folder.unlink()
        async with asyncio.timeout(20):
            while not (folder / "pool/pool.status").exists():
                await asyncio.sleep(0.01)
            while "written again" not in caplog.text:
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    assert caplog.text.count("cannot be written") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999.9, "999"), (1000, "1K"), (1.2345e12, "1.23T"), (999.9e9, "1e+03G"), (5e18, "5E")],
)
def test_rates_are_written_as_ckpool_does(value: float, text: str) -> None:
    assert suffixed(value) == text


def _dict(snapshot: Any) -> dict[str, Any]:
    here = site(Path("/nowhere"))
    tell(here, replace(snapshot))
    assert here.feed.status is not None
    return here.feed.status


def test_only_new_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = site(tmp_path)
    ledger, now = Ledger(here), time.time()
    monkeypatch.setattr(history_module, "READ_SECS", 0.0)
    for units, total in ((0.0, 0), (60.0, 60), (180.0, 180)):
        if not units:
            ledger.add(now - 200, "open", {"run": "a"})
        ledger.add(now - 190 + units, "counters", {"counters": {}, "credited": {RIG: units}})
        for _ in range(2):
            with here.work.current() as history:
                assert sum(history.worker(RIG).work.bins.values()) == pytest.approx(total)
