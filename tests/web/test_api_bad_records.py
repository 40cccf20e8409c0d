"""Records that are missing, damaged, being rebuilt or of another version, and requests that try to leave them: always
a clear answer, never a failure of the server."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from solominer.records.tree import Part, utc_text
from solominer.web import site as site_module
from tests.records.builders import files_up_to
from tests.web.records import RecentHours
from tests.web.serving import Served, serving, setup_of

LISTS = ("history", "shares", "blocks", "latency", "errors", "reports", "ledger")


def test_a_daemon_that_never_ran(tmp_path: Path, always_fresh: None) -> None:
    folder = tmp_path / "nothing" / "regtest"
    with serving(setup_of(folder)) as served:
        assert served.get("history", span="1y")["points"] == []
        assert served.get("history", span="1h")["points"] == []
        assert served.get("blocks") == {"blocks": [], "next": None, "missing": None}
        assert served.get("reports") == {"reports": [], "next": None}
        assert "first report" in served.http.get("/reports/").text
        for name in ("shares", "ledger", "errors", "latency"):
            assert "no records yet" in served.refused(f"/api/v1/{name}", 503)
        assert "no records yet" in served.refused("/api/v1/odds", 503)
        assert "no records yet" in served.refused("/api/v1/forecast", 503)
        served.refused("/api/v1/doctor", 503)
        served.refused("/api/v1/status", 503)
        assert not folder.exists(), "a reader creates nothing"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/reports/..%2F..%2Fstate.json",
        "/api/v1/reports/%2e%2e/best-share",
        "/api/v1/reports/2026-11-21-07%2F..%2F..",
        "/api/v1/reports/2026-13-41-99",
        "/api/v1/reports/2026-11-21-07.1",
        "/api/v1/reports/2026-11-21-07%00/best-share",
        "/api/v1/reports/9999-99-99-99/best-share",
        "/api/v1/days/2026-99-99",
        "/api/v1/days/..%2F..",
        "/api/v1/blocks/..%2F..%2Fstate.json/proof",
        f"/api/v1/blocks/{'A' * 64}/proof",
        f"/api/v1/blocks/{'0' * 63}%0A/proof",
        "/reports/..%2F..%2Fstate.json",
        "/reports/%2e%2e%2fstate.json",
        "/reports/2026%00",
        "/reports/2026-W99",
        "/api/v1/nothing",
    ],
)
def test_path_tricks_are_refused(served: Served, path: str) -> None:
    response = served.http.get(path)
    assert response.status_code in (404, 422), response.text
    assert set(response.json()) == {"error", "todo"}
    assert str(served.site.setup.folder.parent) not in response.text


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("history", {"span": "2h"}),
        ("shares", {"limit": 0}),
        ("shares", {"limit": 10**9}),
        ("shares", {"since": "nan"}),
        ("shares", {"before": 2**70}),
        ("ledger", {"kind": "share' OR 1=1"}),
        ("ledger", {"until": "inf"}),
        ("ledger", {"since": -1}),
        ("blocks", {"before": "zz"}),
        ("reports", {"before": "../../x"}),
        ("errors", {"limit": "many"}),
    ],
)
def test_wrong_parameters_are_named(served: Served, path: str, parameters: dict[str, object]) -> None:
    assert served.refused(f"/api/v1/{path}", 422, **parameters).startswith(next(iter(parameters)))


def test_another_method_is_refused(served: Served) -> None:
    response = served.http.post("/api/v1/odds")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    assert served.http.head("/api/v1/odds").headers["content-length"] == str(
        len(served.http.get("/api/v1/odds").content)
    )
    assert set(response.json()) == {"error", "todo"}


def test_torn_and_foreign_lines_are_skipped(recent: RecentHours, served: Served) -> None:
    before = len(served.get("shares", limit=1000)["shares"])
    ledger = recent.tree.folder("ledger", Part(recent.now_hour)) / "ledger.jsonl"
    foreign = [
        b"not json\n",
        b'{"seq":99999,"at":"x","up":1,"kind":"share"}\n',
        b'{"seq":99998,"at":%d,"up":1,"kind":"share","hash":"zz","job":"x","worker":3}\n' % (recent.now_hour + 20),
        b'{"seq":99997,"at":%d,"up":1,"kind":"error"}\n' % (recent.now_hour + 20),
        b'{"seq":99996,"at":%d,"up":1,"kind":"latency","what":7,"secs":"x"}\n' % (recent.now_hour + 20),
        b'{"seq":99995,"at":%d,"up":1,"kind":"open"}\n' % (recent.now_hour + 20),
        b'{"seq":99994,"at":%d,"up":1,"kind":"block_state","hash":[]}\n' % (recent.now_hour + 20),
        b'{"seq":99993,"at":12',
    ]
    with ledger.open("ab") as file:
        file.write(b"".join(foreign))
    assert len(served.get("shares", limit=1000)["shares"]) == before
    for name in LISTS:
        served.get(name)
    served.get("odds")


def test_a_line_that_is_still_being_written_is_read_when_it_is_complete(recent: RecentHours, served: Served) -> None:
    ledger = recent.tree.folder("ledger", Part(recent.now_hour)) / "ledger.jsonl"
    line = b'{"seq":99999,"at":%d,"up":1,"kind":"latency","what":"tip_to_x","secs":1}\n' % (recent.now_hour + 20)
    with ledger.open("ab", buffering=0) as file:
        file.write(line[:30])
        assert "tip_to_x" not in served.get("latency")["kinds"]
        file.write(line[30:])
    assert served.get("latency")["kinds"]["tip_to_x"]["samples"] == 1


def test_reports_of_another_version_are_named(recent: RecentHours, served: Served) -> None:
    oldest, newest = recent.tree.parts("reports")[0], recent.tree.parts("reports")[-1]
    for part, text in ((oldest, '{"schema": "solominer-report/9"}'), (newest, '{"schema": "solominer-report/2"}')):
        (recent.tree.folder("reports", part) / "report.json").write_text(text)
    for path in recent.bench.root.glob("reports/*/*/*/day.json"):  # shortly after midnight the first hours are in one
        path.unlink()
    shown = oldest.path.replace("/", "-")
    assert "schema 'solominer-report/9'" in served.refused(f"/api/v1/reports/{shown}", 404)
    assert "schema 'solominer-report/9'" in served.refused(f"/reports/{shown}", 404)
    assert "lacks the field" in served.refused(f"/reports/{newest.path.replace('/', '-')}", 404)
    assert len(served.get("reports")["reports"]) == 2
    assert len(served.get("history")["points"]) == 3
    assert served.get("odds")["blocks_found"] == 1, "the totals begin again, as they do in the next report"


def test_damaged_files_are_left_out(recent: RecentHours, served: Served) -> None:
    for path in recent.bench.root.glob("proofs/*/*/*/*/*.json"):
        path.write_text('{"hash": 1, "jobs": [], "hashes": {}}')
    for path in recent.bench.root.glob("submissions/*/*/*/*/*/*"):
        path.write_text('{"at": "never", "state": []}\n{torn')
    for path in recent.bench.root.glob("reports/*/*/*/day.json"):
        path.write_text("[]")
    (recent.bench.root / "state.json").write_text('{"unsealed": 3}')
    blocks = served.get("blocks")["blocks"]
    assert [(block["found_at"], block["state"]) for block in blocks] == [(None, "found")] * 5
    served.refused(f"/api/v1/blocks/{blocks[0]['hash']}/proof", 404)
    for name in LISTS:
        served.get(name)


def test_an_index_that_is_broken_is_made_again(recent: RecentHours, served: Served) -> None:
    shares = served.get("shares")
    index = recent.bench.root / "index.sqlite"
    index.write_bytes(b"no database" * 200)
    assert served.get("shares", limit=499)["shares"] == shares["shares"]
    index.unlink()
    recent.hour(recent.now_hour + 310, shares=2)
    assert len(served.get("shares")["shares"]) == len(shares["shares"]) + 2


def test_a_ledger_whose_index_cannot_be_written_is_read_all_the_same(
    recent: RecentHours, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recent.bench.root / "index.sqlite").mkdir()
    for name in ("shares", "ledger", "errors", "latency"):
        assert served.get(name)["missing"] is None, "it is short"
    before = served.get("shares", limit=1000)["shares"]
    recent.hour(recent.now_hour + 310, shares=2)
    assert len(served.get("shares", limit=1000)["shares"]) == len(before) + 2
    monkeypatch.setattr("solominer.records.ledger.reader.NEWEST_BYTES", 1)
    recent.hour(recent.now_hour + 330, shares=2)
    for name in ("shares", "ledger", "errors", "latency"):
        missing = served.get(name)["missing"]
        assert missing.startswith(f"entries before {utc_text(recent.now_hour)}: "), missing
        assert "index.sqlite cannot be used" in missing
    assert served.get("shares")["shares"]
    shutil.rmtree(recent.bench.root / "index.sqlite")
    recent.hour(recent.now_hour + 350, shares=2)
    again = served.get("shares", limit=1000)
    assert (len(again["shares"]), again["missing"]) == (len(before) + 6, None)


def test_a_full_disk_takes_no_index_and_the_page_goes_on(recent: RecentHours, served: Served) -> None:
    lines = served.get("ledger", limit=1000)["entries"]
    recent.hour(recent.now_hour + 310, shares=500)
    with files_up_to(recent.bench.root.joinpath("index.sqlite").stat().st_size):
        assert len(served.get("ledger", limit=1000)["entries"]) > len(lines)


def test_an_index_that_another_process_rebuilds_is_left_to_it(
    recent: RecentHours, always_fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_module, "INDEX_TIMEOUT_SECS", 0.05)
    with serving(setup_of(recent.bench.root)) as served:
        entries = served.get("ledger")["entries"]
        other = sqlite3.connect(recent.bench.root / "index.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert served.get("ledger")["entries"] == entries
        other.execute("ROLLBACK")
        other.close()
        assert served.get("ledger")["entries"] == entries


def test_records_that_vanish(recent: RecentHours, served: Served) -> None:
    for name in LISTS:
        served.get(name)
    for section in ("ledger", "reports", "submissions", "proofs", "errors"):
        shutil.rmtree(recent.bench.root / section)
    for name in LISTS:
        response = served.http.get(f"/api/v1/{name}")
        assert response.status_code in (200, 503)
        assert isinstance(json.loads(response.text), dict)
