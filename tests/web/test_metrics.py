"""/metrics, /healthz and /readyz for the states of a daemon."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from solominer.views.snapshot import Snapshot
from solominer.web.health import not_ready
from solominer.web.metrics import MOST_WORKERS
from tests.web.site import ADDRESS, get, miner, site, status, tell

Samples = dict[tuple[str, str], float]


def scrape(folder: Path, snapshot: Snapshot | None) -> Samples:
    """By name and worker, node or state."""
    here = site(folder)
    if snapshot is not None:
        tell(here, snapshot)
    response = get(here, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    found: Samples = {}
    for family in parse(response.text):
        for sample in family.samples:
            label = next((sample.labels[name] for name in ("worker", "node", "state") if name in sample.labels), "")
            found[sample.name, label] = sample.value
    return found


def test_the_status_as_metrics(tmp_path: Path) -> None:
    found = scrape(tmp_path, status())
    worker = f"stratum/{ADDRESS}.rig"
    assert found["solominer_up", ""] == 1
    assert found["solominer_hash_rate_low_hashes_per_second", ""] == 1e12
    assert found["solominer_hashes_total", ""] == 1e20
    assert found["solominer_worker_hashes_total", worker] == 5e15
    assert found["solominer_worker_rejected_shares_total", worker] == 2
    assert found["solominer_node_height", "node"] == 840_000
    assert found["solominer_recent_blocks", "confirmed"] == 1
    assert found["solominer_template_reward_satoshis", ""] == 313_500_000


def test_the_daemon_is_gone(tmp_path: Path) -> None:
    """Old values would look like new ones, so there are none."""
    assert scrape(tmp_path, None).keys() == {("solominer_up", ""), ("solominer_build_info", "")}
    here = site(tmp_path)
    tell(here, status())
    here.feed._lost()
    text = get(here, "/metrics").text
    assert "solominer_up 0.0" in text
    assert "solominer_hashes_total" not in text


def test_thousands_of_workers_are_few_series(tmp_path: Path) -> None:
    """Those that came first keep their own series; the others' counters only grow."""
    crowd = [miner(f"m{number}", shares=1, best_difficulty=float(number)) for number in range(MOST_WORKERS + 156)]
    found = scrape(tmp_path, status(*crowd))
    assert sum(name == "solominer_worker_shares_total" for name, _ in found) == MOST_WORKERS + 1
    assert found["solominer_worker_shares_total", "others"] == 156
    assert found["solominer_worker_best_difficulty", "others"] == MOST_WORKERS + 155
    assert found["solominer_workers", ""] == MOST_WORKERS + 156
    more = scrape(tmp_path, status(*crowd, miner("late", shares=5)))
    assert more["solominer_worker_shares_total", "others"] == 161
    assert more["solominer_worker_shares_total", "stratum/m0"] == 1


@pytest.mark.parametrize("name", ['a"}\\n 1\\', 'x",node="y"} 1 #', "{}=,<b>&+/#", "\\", "\\n"])
def test_names_of_miners_cannot_break_the_format(name: str, tmp_path: Path) -> None:
    assert scrape(tmp_path, status(miner(name)))["solominer_worker_up", f"stratum/{name}"] == 1


def test_openmetrics_has_the_start_of_the_run(tmp_path: Path) -> None:
    here = site(tmp_path)
    tell(here, status(started_at=1_700_000_000.0))
    response = get(here, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(response.text)}  # type: ignore[no-untyped-call]
    created = [each.value for each in families["solominer_hashes"].samples if each.name.endswith("_created")]
    assert created == [1_700_000_000.0]


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (status(), ""),
        (status(status="mining, but the nodes disagree since height 7"), ""),
        (status(status="paused: by hand", pauses=("by hand",)), ""),
        (status(status="paused: stopping", pauses=("stopping",)), "the daemon is stopping"),
        (status(status="waiting for a node"), "the daemon is waiting for a node"),
        (status(nodes=(replace(status().nodes[0], usable=False),)), "no node is healthy"),
        (None, "the daemon is not running"),
    ],
)
def test_ready_while_it_mines_or_was_told_not_to(tmp_path: Path, snapshot: Snapshot | None, reason: str) -> None:
    here = site(tmp_path)
    if snapshot is not None:
        tell(here, snapshot)
    assert not_ready(here.feed) == reason
    answer = get(here, "/readyz")
    assert (answer.status_code, answer.text) == (503, f"{reason}\n") if reason else (200, "ready\n")
    assert get(here, "/healthz").status_code == 200


def test_a_node_that_was_told_to_end_is_neither_up_nor_down(tmp_path: Path) -> None:
    left = replace(miner("x", shares=3), worker="cluster/n1.cpu0", alive=False, state="left")
    found = scrape(tmp_path, status(left))
    assert ("solominer_worker_up", "cluster/n1.cpu0") not in found
    assert found["solominer_worker_shares_total", "cluster/n1.cpu0"] == 3


def test_a_graphics_card_shows_its_temperature_and_others_none(tmp_path: Path) -> None:
    card = replace(miner("x"), worker="gpu/0", temperature_c=71.5)
    found = scrape(tmp_path, status(card, miner("y")))
    assert found["solominer_worker_temperature_celsius", "gpu/0"] == 71.5
    assert ("solominer_worker_temperature_celsius", "stratum/y") not in found
    assert found["solominer_worker_up", "gpu/0"] == 1
