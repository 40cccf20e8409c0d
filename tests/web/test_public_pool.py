"""public-pool's API: its shapes, and that what they say comes from the status and the ledger."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from solominer.web.site import Site
from tests.web.shapes import SHAPES, check
from tests.web.site import ADDRESS, OWN, Ledger, get, miner, site, status, tell

RIG = f"stratum/{ADDRESS}.rig"
UNITS_PER_TH = 1e12 / 2**32


@pytest.fixture
def here(tmp_path: Path) -> Site:
    """Forty minutes of a rig at 1 TH/s and a CPU at 2^32 hashes a minute, and a block of the rig."""
    found = site(tmp_path)
    ledger, now = Ledger(found), time.time()
    began = now - 2400
    ledger.add(began, "open", {"run": "a"})
    for minute in range(1, 41):
        at = began + 60 * minute
        fields = {"counters": {"cpu/0": minute << 32}, "credited": {RIG: minute * 60 * UNITS_PER_TH}}
        ledger.add(at, "counters", fields)
        row = {"worker": RIG, "user_agent": "bitaxe", "shares": 12, "best": f"{(1 << 224) // (1000 + minute):064x}"}
        ledger.add(at, "miners", {"miners": [row | ({"connects": 1} if minute == 10 else {})]})
    share = {"worker": "cpu/0", "hash": f"{(1 << 224) // 7:064x}", "stale": False}
    ledger.add(now - 30, "share", share)
    block = {"height": 839_990, "hash": "11" * 32, "worker": RIG, "reward_sats": 1, "staged": False}
    ledger.add(now - 20, "block_found", block)
    tell(found, status())
    return found


def shown(here: Site, path: str) -> Any:
    response = get(here, path)
    assert response.status_code == 200, response.text
    return response.json()


def test_every_shape_is_public_pools(here: Site) -> None:
    for name in SHAPES["public-pool"]:
        path, _, part = name.replace("ADDRESS", ADDRESS).partition(" ")
        value = shown(here, path)
        check("public-pool", name, value[part[:-2]] if part not in ("", "[]") else value)


def test_pool_follows_the_status(here: Site) -> None:
    pool = shown(here, "/api/pool")
    assert (pool["totalHashRate"], pool["totalMiners"], pool["blockHeight"]) == (1.2e12 + 2e7, 2, 840_000)
    block = pool["blocksFound"]
    assert [(each["height"], each["minerAddress"], each["worker"]) for each in block] == [(839_990, ADDRESS, "rig")]
    tell(here, status(miner("one"), miner("two", alive=False), height=5))
    pool = shown(here, "/api/pool")
    assert (pool["totalHashRate"], pool["totalMiners"], pool["blockHeight"]) == (1.2e12, 1, 5)


def test_a_lost_daemon_has_no_miners(here: Site) -> None:
    here.feed._lost()
    pool = shown(here, "/api/pool")
    assert (pool["totalHashRate"], pool["totalMiners"], pool["blockHeight"]) == (0, 0, 840_000)
    assert shown(here, f"/api/client/{ADDRESS}")["workersCount"] == 0


def test_before_the_first_status(tmp_path: Path) -> None:
    for path in ("/api/pool", "/api/network", "/api/info", f"/api/client/{ADDRESS}", f"/api/client/{ADDRESS}/chart"):
        assert get(site(tmp_path), path).status_code == 503


def test_a_client_is_whoever_logs_in_with_its_address(here: Site) -> None:
    client = shown(here, f"/api/client/{ADDRESS}")
    (rig,) = client["workers"]
    assert (rig["name"], rig["hashRate"], rig["bestDifficulty"]) == ("rig", 1.2e12, "123456.79")
    assert client["bestDifficulty"] == 123456.789
    own = shown(here, f"/api/client/{OWN}")  # the payee has our own workers
    assert [each["name"] for each in own["workers"]] == ["cpu-0"]
    assert own["bestDifficulty"] == pytest.approx(7, rel=1e-4)
    assert shown(here, "/api/client/1BoatSLRHtKNngkdXEeobR76b53LETtpyT") == {"workersCount": 0, "workers": []}


def test_a_session_starts_with_the_login(here: Site) -> None:
    (rig,) = shown(here, f"/api/client/{ADDRESS}")["workers"]
    started = time.time() - 1800
    assert abs(time.mktime(time.strptime(rig["startTime"][:19] + "UTC", "%Y-%m-%dT%H:%M:%S%Z")) - started) < 90


def test_charts_show_what_was_done(here: Site) -> None:
    chart = shown(here, f"/api/client/{ADDRESS}/chart")
    whole = [each["data"] for each in chart][1:]  # the first bin was partly before the run
    assert len(whole) >= 2
    assert whole == pytest.approx([1e12] * len(whole), rel=1e-3)
    assert [each["label"] for each in chart] == sorted(each["label"] for each in chart)
    site_wide = [each["data"] for each in shown(here, "/api/info/chart")][1:]
    assert site_wide == pytest.approx([1e12 + 2**32 / 60] * len(whole), rel=1e-3)


def test_the_networks_rate_fits_its_difficulty(here: Site) -> None:
    """Not on regtest, whose difficulty says nothing."""
    assert shown(here, "/api/network")["networkhashps"] == 0
    tell(here, status(network="mainnet"))
    network = shown(here, "/api/network")
    assert network["networkhashps"] == pytest.approx(1e14 * 2**32 / 600, rel=1e-4)
    assert (network["chain"], network["currentblockweight"]) == ("main", 3_990_000)


def test_as_home_assistant_reads_it(here: Site) -> None:
    """Its integration calls float and int on these, and gives up on all of them where one is null."""
    pool, network, client = (shown(here, f"/api/{path}") for path in ("pool", "network", f"client/{ADDRESS}"))
    for found, name in ((pool, "totalHashRate"), (pool, "fee"), (network, "difficulty"), (network, "networkhashps")):
        float(found.get(name, 0))
    float(client.get("bestDifficulty", 0))
    assert [float(worker["bestDifficulty"]) for worker in client["workers"]] == [123456.79]


def test_names_from_outside_stay_text(here: Site) -> None:
    tell(here, status(miner("../../etc/passwd"), miner(f"{ADDRESS}.<script>")))
    assert [each["name"] for each in shown(here, f"/api/client/{ADDRESS}")["workers"]] == ["<script>"]
    assert get(here, "/api/client/..%2F..%2Fetc").status_code in (200, 404)
