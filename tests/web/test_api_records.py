"""Each endpoint on records: its numbers are those of the ledger and the reports, and change with them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from solominer.chain.proof import verify_proof
from solominer.insight.odds import block_chance, luck
from solominer.records.evidence.state import read_report
from solominer.records.report.latency import Durations
from solominer.records.tree import HOUR_SECS
from solominer.web.api import odds as api_odds
from solominer.web.api.history import _by_the_minute
from solominer.work.blocks import MATURE_DEPTH
from solominer.work.found import BlockState
from tests.web.records import RecentHours
from tests.web.serving import Served

INLINE = re.compile(r"<style|<script|<[^>]*\s(style|on\w+)=")


def reports_of(recent: RecentHours) -> list[dict[str, Any]]:
    reports = [read_report(recent.tree, part) for part in recent.tree.parts("reports")]
    return [report for report in reports if report is not None]


def test_history_by_the_hour_is_that_of_the_reports(recent: RecentHours, served: Served) -> None:
    history = served.get("history", span="24h")
    assert (history["span"], history["step_secs"]) == ("24h", HOUR_SECS)
    assert [point["at"] for point in history["points"]] == [recent.now_hour - n * HOUR_SECS for n in (3, 2, 1, 0)]
    first, restarted, third, open_hour = history["points"]
    report = reports_of(recent)[0]
    rate = report["hashes"]["rate_hps"]
    assert (first["rate_hps"], first["rate_low_hps"], first["rate_high_hps"]) == (
        rate["value"],
        rate["low"],
        rate["high"],
    )
    assert first["best_difficulty"] == report["best"]["hour"]["difficulty"]
    assert (first["shares"], restarted["shares"], third["shares"], open_hour["shares"]) == (7, 6 + 4, 7, 9)
    assert restarted["rate_low_hps"] <= restarted["rate_hps"] <= restarted["rate_high_hps"]
    assert open_hour["rate_hps"] == pytest.approx(2 * 33e6 / 300, rel=0.01)
    recent.hour(recent.now_hour + 310, shares=3)
    assert served.get("history", span="24h")["points"][-1]["shares"] == 12
    for span in ("7d", "30d"):
        assert served.get("history", span=span)["points"] == served.get("history", span="24h")["points"]
    (*_, year) = served.get("history", span="1y")["points"]
    assert year["shares"] <= 7 + 10 + 7 + 12


def test_history_by_the_minute_is_that_of_the_counters(recent: RecentHours, served: Served) -> None:
    served.get("history", span="1h")
    points = _by_the_minute(served.site.live.tail.minutes, recent.now_hour + 400)
    by_minute = {point.at - recent.now_hour: point for point in points}
    assert by_minute[0].shares == 9
    for at in (60, 120, 180, 240):
        point = by_minute[at]
        assert point.rate_hps == pytest.approx(2 * 6.5e6 / 60, rel=0.1)
        assert point.rate_low_hps is not None
        assert point.rate_hps is not None
        assert point.rate_low_hps <= point.rate_hps
    assert by_minute[300].rate_hps is None, "a second of it was read"
    assert sum(point.expected_shares or 0 for point in points) > 0


def test_shares_are_those_of_the_ledger_page_by_page(recent: RecentHours, served: Served) -> None:
    shares = served.get("shares", limit=1000)
    assert shares["next"] is None
    lines = {entry["hash"]: entry for entry in served.site.ledger.query("shares")}
    assert len(shares["shares"]) == len(lines) == 7 + 6 + 4 + 7 + 9
    for share in shares["shares"]:
        assert share["worker"] == lines[share["hash"]]["worker"]
        assert share["difficulty"] == pytest.approx((0xFFFF << 208) / int(share["hash"], 16))
        assert share["share_difficulty"] == share["network_difficulty"] == pytest.approx(4.6565e-10, rel=1e-3)
        assert 1 <= share["height"] <= len(recent.blocks)
    paged: list[Any] = []
    before: dict[str, Any] = {}
    while True:
        page = served.get("shares", limit=5, **before)
        paged += page["shares"]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert paged == shares["shares"]
    recent_ones = served.get("shares", since=recent.now_hour)["shares"]
    assert len(recent_ones) == 9


def test_best_shares_say_their_scope(recent: RecentHours, served: Served) -> None:
    shares = served.get("shares", limit=1000)
    every = sorted(shares["shares"], key=lambda share: share["hash"])
    assert shares["top"] == every[:20]
    assert {name: shares["best_ever"][name] for name in ("hash", "at", "worker", "height")} == {
        name: every[0][name] for name in ("hash", "at", "worker", "height")
    }
    of_this_run = [share for share in every if share["at"] > recent.restarted_at]
    assert len(of_this_run) < len(every)
    assert shares["best_session"] == of_this_run[0]
    if every[0]["at"] < recent.now_hour:
        proof = served.http.get(shares["best_ever"]["proof"])
        assert verify_proof(proof.json()).holds
        assert proof.json()["hash"] == every[0]["hash"]
    else:
        assert shares["best_ever"]["proof"] is None


def test_the_best_share_of_a_sealed_hour_has_a_certificate(recent: RecentHours, served: Served) -> None:
    (newest, *_) = served.get("reports")["reports"]
    answer = served.http.get(f"/api/v1/reports/{newest['part']}/best-share", params={"download": 1})
    assert verify_proof(answer.json()).holds
    assert answer.headers["content-disposition"] == f'attachment; filename="best-share-{newest["part"]}.json"'


def test_blocks_with_their_life_and_proof(recent: RecentHours, served: Served) -> None:
    listed = served.get("blocks")
    assert [block["hash"] for block in listed["blocks"]] == [block.hash_hex for block in reversed(recent.blocks)]
    newest, block = listed["blocks"][0], recent.blocks[-1]
    assert newest["height"] == block.height
    assert newest["state"] == "accepted"
    assert newest["found_at"] == block.found_at
    assert (newest["worker"], newest["reward_sats"], newest["transactions"]) == ("cpu/0", block.reward_sats, 1)
    assert newest["matures_at_height"] == block.height + MATURE_DEPTH
    assert newest["answers"] == [{"at": block.found_at, "node": "node0", "answer": "accepted", "raw": "null"}]
    assert [(state["state"], state["reason"]) for state in newest["states"]] == [("accepted", "by node0")]
    recent.recorder.journal.note_state(
        block.height, block.hash_le, recent.now_hour + 5, BlockState.CONFIRMED, confirmations=3
    )
    recent.recorder.record(recent.now_hour + 5, "block_state", {"hash": block.hash_hex, "height": 1, "state": "x"})
    assert recent.recorder.flush(30)
    changed = served.get("blocks", limit=1)
    assert (changed["blocks"][0]["state"], changed["blocks"][0]["confirmations"]) == ("confirmed", 3)
    paged: list[Any] = []
    before: dict[str, Any] = {}
    while True:
        page = served.get("blocks", limit=2, **before)
        paged += [block["hash"] for block in page["blocks"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert paged == [block["hash"] for block in listed["blocks"]]


def test_proofs_of_blocks_verify(recent: RecentHours, served: Served) -> None:
    for block in served.get("blocks")["blocks"]:
        answer = served.http.get(block["proof"], params={"download": "true"})
        assert verify_proof(answer.json()).holds
        assert answer.json()["hash"] == block["hash"]
        assert answer.headers["content-disposition"].endswith(f'filename="block-{block["hash"]}.json"')
    assert "no proof" in served.refused(f"/api/v1/blocks/{'0' * 64}/proof", 404)


def test_odds_and_forecast_are_those_of_insight(
    recent: RecentHours, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    odds, report = served.get("odds"), served.site.live.report()
    assert report is not None
    rate = report["hashes"]["rate_hps"]
    assert (odds["rate_hps"], odds["rate_low_hps"], odds["rate_is_live"]) == (rate["value"], rate["low"], False)
    assert odds["network_difficulty"] == report["network_difficulty"]
    for secs, name in ((3600.0, "hour"), (86400.0, "day"), (31_557_600.0, "year")):
        assert odds[f"chance_per_{name}"] == block_chance(rate["value"], odds["network_difficulty"], secs)
    assert (odds["blocks_found"], odds["luck"], odds["luck_p_value"]) == (5, None, None)  # regtest: not all are told
    monkeypatch.setattr(api_odds, "MIN_HASHES_PER_SHARE", 1)
    judged, told = luck(5, odds["expected_blocks"]), api_odds._odds(served.site, api_odds.told(served.site.feed))
    assert (told.luck, told.luck_p_value) == (judged.ratio, judged.p_value)
    sealed = sum(report["hashes"]["counted"] for report in reports_of(recent))
    assert odds["hashes"] == sealed + report["hashes"]["counted"]
    forecast = served.get("forecast")
    assert forecast["difficulty"] == odds["network_difficulty"]
    assert forecast["miner_hps"] == odds["rate_hps"]
    assert [chance["at_todays_difficulty"] for chance in forecast["chances_of_a_block"]] == [
        odds[f"chance_per_{name}"] for name in ("hour", "day", "year")
    ]
    assert forecast["retarget"] is None
    assert "retarget" in forecast["needs_node"]
    assert "solominer forecast" in forecast["why_no_retarget"]


def test_latency_and_errors_of_the_ledger(recent: RecentHours, served: Served) -> None:
    durations = Durations()
    for number in range(1, 6):
        durations.add(0.001 * number)
    stop = served.get("latency")["kinds"]["tip_to_stop"]
    assert (stop["samples"], stop["last_secs"]) == (5, 0.005)
    assert stop["p50_secs"] == durations.summary()["p50_secs"]
    (error,) = served.get("errors")["errors"]
    assert (error["severity"], error["code"], error["count"]) == ("low", "node-slow", 10)
    assert (error["message"], error["todo"]) == ("node0 took 5 s", "use a faster disk")
    recent.recorder.error(recent.now_hour + 9, "high", "zmq-lost", "node0 sends nothing", done="check zmqpub")
    recent.recorder.latency(recent.now_hour + 9, "tip_to_empty", 0.25)
    assert recent.recorder.flush(30)
    newest, _ = served.get("errors")["errors"]
    assert (newest["code"], newest["severity"], newest["count"]) == ("zmq-lost", "high", 1)
    assert len(served.get("errors", limit=1)["errors"]) == 1
    assert served.get("errors", since=recent.now_hour + 8)["errors"] == [newest]
    assert served.get("latency")["kinds"]["tip_to_empty"]["max_secs"] == 0.25


def test_reports_and_days(recent: RecentHours, served: Served) -> None:
    listed, written = served.get("reports"), reports_of(recent)
    assert [line["sequence"] for line in listed["reports"]] == [report["sequence"] for report in reversed(written)]
    for line, report in zip(listed["reports"], reversed(written), strict=True):
        assert line["part"] == report["part"].replace("/", "-")
        assert (line["shares"], line["blocks_found"]) == (report["shares"]["found"], report["blocks"]["found"])
        assert served.get(f"reports/{line['part']}") == report
    first = served.get("reports", limit=1)
    second = served.get("reports", limit=1, before=first["next"])
    assert [*first["reports"], *second["reports"]] == listed["reports"][:2]
    day = written[0]["part"][:10]
    of_day = [report for report in written if report["part"].startswith(day)]
    sums = served.get(f"days/{day.replace('/', '-')}")["sums"]
    assert sums["shares"] == sum(report["shares"]["found"] for report in of_day)
    recent.close()
    assert len(served.get("reports")["reports"]) == len(written) + 1
    recent.recorder = recent.bench.recorder()
    recent.recorder.open(recent.now_hour + 410)


def test_report_pages_are_self_contained_but_for_their_style(recent: RecentHours, served: Served) -> None:
    index = served.http.get("/reports/")
    part = served.get("reports")["reports"][0]["part"]
    assert f'href="/reports/{part}"' in index.text
    for name in (part, part[:10], part[:7], part[:4], "latest", "all"):
        page = served.http.get(f"/reports/{name}")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert page.text.count("<svg") >= 3
        assert not INLINE.search(page.text)
    style = served.http.get("/reports/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "@media print" in style.text
    served.refused("/reports/yesterday", 404)


def test_the_ledger_page_by_page(recent: RecentHours, served: Served) -> None:
    every = served.site.ledger.query("all")[::-1]
    assert served.get("ledger", limit=1000) == {"entries": every, "next": None, "missing": None}
    paged: list[Any] = []
    before: dict[str, Any] = {}
    while True:
        page = served.get("ledger", limit=20, **before)
        paged += page["entries"]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert paged == every
    blocks = served.get("ledger", kind="block*", limit=1000)["entries"]
    assert blocks == [entry for entry in every if entry["kind"].startswith("block")]
    since, until = recent.now_hour - HOUR_SECS, recent.now_hour
    some = served.get("ledger", kind="share", since=since, until=until)["entries"]
    assert some == [entry for entry in every if entry["kind"] == "share" and since <= entry["at"] < until]
    assert some


def test_a_client_gets_the_same_answer_until_something_changes(recent: RecentHours, served: Served) -> None:
    made: list[float] = [served.get("odds")["at"] for _ in range(3)]
    assert len(set(made)) == 1
    recent.recorder.latency(recent.now_hour + 9, "tip_to_empty", 0.25)
    assert recent.recorder.flush(30)
    assert served.get("odds")["at"] > made[0]


def test_documents_are_json_of_the_openapi_description(served: Served) -> None:
    api = served.http.get("/api/openapi.json").json()
    status = api["paths"]["/api/v1/status"]["get"]["responses"]
    assert set(status) == {"200", "503"}
    fields = api["components"]["schemas"]["StatusV1"]["properties"]
    assert {"rate_hps", "workers", "coinbase", "template"} <= set(fields)
    assert {"type": "null"} in fields["rate_high_hps"]["anyOf"]
    for path, methods in api["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            refused = operation["responses"].get("422")
            assert refused is None or json.dumps(refused).endswith('Problem"}}}}'), path
