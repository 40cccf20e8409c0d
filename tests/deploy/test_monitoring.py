"""Prometheus and Grafana: what promtool says, and what a real Prometheus has for each panel and rule.

Without Prometheus (apt-get install prometheus) these tests are skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.conftest import Live, until
from tests.deploy.manager import REPO
from tests.ports import free_port

DEPLOY = REPO / "deploy"
RULES = DEPLOY / "prometheus/rules.yml"
SCRAPE = DEPLOY / "prometheus/scrape.example.yml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
RULE_TESTS = Path(__file__).with_name("rules.test.yml")
PANELS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
ALERTS = {rule["alert"]: rule["expr"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="prometheus and promtool are not installed"
)


def promtool(*args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, args)], cwd=REPO, input=stdin, capture_output=True, text=True, check=False
    )


@needs_prometheus
@pytest.mark.parametrize(
    "command", [("check", "config", SCRAPE), ("check", "rules", RULES), ("test", "rules", RULE_TESTS)], ids=str
)
def test_promtool_is_content(command: tuple[str | Path, ...]) -> None:
    done = promtool(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    cases = [case for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == set(ALERTS)
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == set(ALERTS)


def test_panels_have_units_places_and_numbers_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set[tuple[int, int]]()
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


class Prometheus:
    """A real one that scrapes a real run each second."""

    def __init__(self, place: str) -> None:
        self._api = f"http://{place}/api/v1"

    def query(self, expression: str) -> list[Any]:
        """The samples of an instant query."""
        return list(self.get("query", query=expression)["result"])

    def get(self, path: str, **parameters: str) -> Any:
        """The data of a part of its API."""
        return httpx.get(f"{self._api}/{path}", params=parameters, timeout=10).raise_for_status().json()["data"]


@pytest.fixture(scope="module")
def prometheus(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """With the example's config: only interval and target differ."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load(SCRAPE.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [live.place]
    (folder / "scrape.yml").write_text(yaml.safe_dump(config))
    shutil.copy(RULES, folder)
    place = f"127.0.0.1:{free_port()}"
    arguments = [f"--config.file={folder}/scrape.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", *arguments, f"--web.listen-address={place}"], stdout=log, stderr=log, cwd=folder
        )
    found = Prometheus(place)
    try:
        until(lambda: len(found.query("count_over_time(solominer_up[1m]) > 5")) == 1, 60)
        yield found
    finally:
        process.terminate()
        process.wait(30)


@needs_prometheus
@pytest.mark.e2e
@pytest.mark.parametrize("expression", PANELS)
def test_each_panel_has_data(prometheus: Prometheus, expression: str) -> None:
    samples = prometheus.query(expression.replace("$instance", ".*"))
    assert samples
    assert all(sample["value"][1] not in ("NaN", "+Inf") for sample in samples)


@needs_prometheus
@pytest.mark.e2e
@pytest.mark.parametrize("alert", ALERTS)
def test_each_rule_reads_metrics_that_exist(prometheus: Prometheus, alert: str) -> None:
    """Each metric in it has samples; the whole is evaluated, and quiet for this run (that it fires: rules.test.yml)."""
    for metric in set(re.findall(r"solominer_\w+", ALERTS[alert])):
        assert prometheus.query(metric), metric
    if alert != "SolominerBlockFound":  # a block has been found; between two, there is nothing to mine for a moment
        until(lambda: not prometheus.query(ALERTS[alert]), 30)


@needs_prometheus
@pytest.mark.e2e
def test_the_rules_are_loaded_and_evaluated(prometheus: Prometheus) -> None:
    until(lambda: {rule["health"] for rule in prometheus.get("rules")["groups"][0]["rules"]} == {"ok"}, 30)
    (target,) = prometheus.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


@needs_prometheus
@pytest.mark.e2e
def test_the_scrape_follows_the_conventions(live: Live) -> None:
    """`promtool check metrics` lints names, units and help texts."""
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        text = httpx.get(f"http://{live.place}/metrics", headers={"accept": accept}).text
        if accept == "text/plain":
            done = promtool("check", "metrics", stdin=text)
            assert (done.returncode, done.stdout + done.stderr) == (0, "")
        assert "solominer_hashes_total" in text
