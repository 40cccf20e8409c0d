"""HiveOS and Umbrel: scripts that are run as their agents run them, and manifests by the rules of their stores."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from solominer import __version__
from solominer.config.load import load_config
from solominer.views.snapshot import encode
from tests.deploy.conftest import MINER_ADDRESS, Live, until
from tests.deploy.manager import REPO
from tests.deploy.test_containers import tool
from tests.web.shapes import check
from tests.web.site import miner, status

HIVEOS = REPO / "deploy/hiveos"
UMBREL = REPO / "deploy/umbrel"

needs_jq = pytest.mark.skipif(
    not (shutil.which("jq") and shutil.which("curl")), reason="jq and curl, which HiveOS has, are not installed"
)


def sourced(folder: Path, script: str, show: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Source a script in bash, as HiveOS does, and print what `show` says."""
    return subprocess.run(
        ["bash", "-c", f'. "{folder}/{script}"; {show}'],
        env=os.environ | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def hive(tmp_path: Path) -> Path:
    """The scripts in a folder of their own, with config and web server elsewhere than on a rig."""
    folder = tmp_path / "solominer"
    shutil.copytree(HIVEOS, folder)
    manifest = folder / "h-manifest.conf"
    manifest.write_text(manifest.read_text().replace("/hive/miners/custom/$CUSTOM_NAME", str(folder)))
    return folder


def listening(hive: Path, place: str) -> None:
    manifest = hive / "h-manifest.conf"
    manifest.write_text(manifest.read_text().replace("127.0.0.1:3380", place))


def test_shellcheck_is_content() -> None:
    done = tool("shellcheck", "-x", *sorted(HIVEOS.glob("*.sh")))
    assert done.returncode == 0, done.stdout
    assert all(os.access(path, os.X_OK) for path in HIVEOS.glob("*.sh"))


def test_the_packages_are_of_this_version() -> None:
    assert f"CUSTOM_VERSION={__version__}\n" in (HIVEOS / "h-manifest.conf").read_text()
    assert yaml.safe_load((UMBREL / "umbrel-app.yml").read_text())["version"] == __version__
    assert f":{__version__}@sha256:" in (UMBREL / "docker-compose.yml").read_text()


@needs_jq
@pytest.mark.e2e
def test_h_stats_sets_khs_and_stats(hive: Path, live: Live) -> None:
    listening(hive, live.place)
    done = sourced(hive, "h-stats.sh", 'printf "%s\\n%s\\n" "$khs" "$stats"')
    khs, stats_json = done.stdout.splitlines()
    stats: dict[str, Any] = json.loads(stats_json)
    assert done.stderr == ""
    assert float(khs) > 0
    assert set(stats) == {"hs", "hs_units", "temp", "fan", "uptime", "ver", "ar", "algo"}
    assert (stats["hs_units"], stats["ver"]) == ("khs", __version__)
    assert len(stats["hs"]) == 2  # the CPU worker and the miner
    assert stats["hs"][0] > 0
    assert stats["uptime"] > 0
    assert stats["ar"][0] > 0


@needs_jq
@pytest.mark.parametrize(("age_secs", "khs"), [(0, "1200000000"), (60, "0")])
def test_h_stats_counts_in_kilohashes_and_leaves_old_news_alone(hive: Path, age_secs: float, khs: str) -> None:
    text = encode(status(miner("a", rejected=3), miner("b", alive=False), at=time.time() - age_secs))

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        listening(hive, f"127.0.0.1:{server.server_port}")
        done = sourced(hive, "h-stats.sh", 'printf "%s\\n%s\\n" "$khs" "$stats"')
        server.shutdown()
    found, stats = done.stdout.splitlines()
    assert float(found) == float(khs)
    if age_secs:
        assert stats == "null"
    else:
        assert json.loads(stats)["hs"] == [1.2e9]
        assert json.loads(stats)["ar"] == [140, 5]


@needs_jq
def test_h_stats_without_a_miner(hive: Path) -> None:
    listening(hive, "127.0.0.1:9")
    done = sourced(hive, "h-stats.sh", 'echo "$khs $stats"')
    assert (done.stdout, done.stderr) == ("0 null\n", "")


FLIGHT_SHEET = {
    "CUSTOM_TEMPLATE": "bc1qe3s3p25swm5k63gvn0n0pnqu4qme8cup3cptku",
    "CUSTOM_URL": "miner@10.0.0.5:8332",
    "CUSTOM_PASS": 'a"b$(c)',
    "CUSTOM_USER_CONFIG": "",
}


@needs_jq
@pytest.mark.parametrize("more", ["", '{"cpu_workers": 3, "web": {"hosts": ["rig.lan"]}}'])
def test_h_config_writes_a_config_that_loads(hive: Path, more: str) -> None:
    done = sourced(hive, "h-config.sh", "true", **FLIGHT_SHEET | {"CUSTOM_USER_CONFIG": more})
    assert done.stderr == ""
    path = hive / "config.json"
    assert path.stat().st_mode & 0o777 == 0o600
    config = load_config(path, environ={})
    assert config.bitcoin_rpc is not None
    assert (config.bitcoin_rpc.host, config.bitcoin_rpc.port) == ("10.0.0.5", 8332)
    assert json.loads(path.read_text())["bitcoin_rpc"]["password"] == FLIGHT_SHEET["CUSTOM_PASS"]
    assert config.payout_address == FLIGHT_SHEET["CUSTOM_TEMPLATE"]
    assert (config.web.enabled, config.web.hosts) == (True, ("rig.lan",) if more else ())


@needs_jq
@pytest.mark.parametrize("wrong", [{"CUSTOM_TEMPLATE": ""}, {"CUSTOM_URL": "10.0.0.5"}, {"CUSTOM_USER_CONFIG": "-d"}])
def test_h_config_says_what_the_flight_sheet_lacks(hive: Path, wrong: dict[str, str]) -> None:
    done = sourced(hive, "h-config.sh", "true", **FLIGHT_SHEET | wrong)
    assert "flight sheet" in done.stderr
    assert not (hive / "config.json").exists()


@pytest.mark.e2e
def test_the_shapes_of_a_real_run(live: Live) -> None:
    """public-pool's API and ckpool's files, for the miner that is connected and for blocks that were found."""
    check("public-pool", "/api/pool", live.get("/api/pool").json())
    check("public-pool", "/api/pool blocksFound[]", live.get("/api/pool").json()["blocksFound"])
    client = live.get(f"/api/client/{MINER_ADDRESS}").json()
    check("public-pool", "/api/client/ADDRESS workers[]", client["workers"])
    path = live.status_files / "users" / MINER_ADDRESS
    until(path.exists, 90)
    check("ckpool", "users", json.loads(path.read_text()))
    lines = (live.status_files / "pool/pool.status").read_text().splitlines()
    for number, line in enumerate(lines, 1):
        check("ckpool", f"pool.status {number}", json.loads(line))


def test_umbrels_compose_file_is_one_and_its_settings_load() -> None:
    """Umbrel's own linter is theirs; these are its rules that a change here could break."""
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", UMBREL / "docker-compose.yml")
    assert done.returncode == 0, done.stdout
    services = yaml.safe_load((UMBREL / "docker-compose.yml").read_text())["services"]
    manifest = yaml.safe_load((UMBREL / "umbrel-app.yml").read_text())
    miner = services["miner"]
    assert re.fullmatch(r"\S+:\d\S*@sha256:[0-9a-f]{64}", miner["image"])
    assert services["app_proxy"]["environment"]["APP_PORT"] == manifest["port"]
    assert services["app_proxy"]["environment"]["APP_HOST"] == f"{manifest['id']}_miner_1"
    for volume in miner["volumes"]:
        source = volume.split(":")[0].replace("${APP_DATA_DIR}", str(UMBREL))
        assert any(Path(source).iterdir()), f"{source} is not in the package"
    umbrel = {"NODE_IP": "10.21.21.8", "RPC_PORT": "8332", "RPC_USER": "umbrel", "RPC_PASS": "x"}
    umbrel |= {"ZMQ_HASHBLOCK_PORT": "28334", "ZMQ_SEQUENCE_PORT": "28335"}
    environ = {
        name: re.sub(r"\$\{APP_BITCOIN_(\w+)\}", lambda found: umbrel[found[1]], value)
        for name, value in miner["environment"].items()
    }
    config = load_config(environ=environ)
    assert config.bitcoin_rpc is not None
    assert (config.bitcoin_rpc.host, config.web.place[1], config.stratum[0].payout) == ("10.21.21.8", 3380, "miner")
