"""One real run for all tests that look at it from outside: regtest, a CPU worker, a Stratum miner, the web server."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.deploy.manager import REPO, SOLOMINER
from tests.engines.stratum.wire import WireMiner
from tests.ports import free_ports

MINER_ADDRESS = "bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8zeqchgx"


@dataclass(frozen=True, slots=True)
class Live:
    """`place` is HOST:PORT of its web server."""

    place: str
    status_files: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> httpx.Response:
        """Ask its web server."""
        return httpx.get(f"http://{self.place}{path}", timeout=10)


def until(holds: Callable[[], object], secs: float) -> None:
    """Wait until it holds; an HTTP error or a failed assertion counts as not yet, and is told in the end."""
    deadline, last = time.monotonic() + secs, ""
    while True:
        try:
            if holds():
                return
        except (httpx.HTTPError, AssertionError) as error:
            last = f": {error!r}"
        assert time.monotonic() < deadline, f"it did not come about within {secs:g} s{last}"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """It has found blocks, has a hash rate, and a miner is connected."""
    folder = tmp_path_factory.mktemp("live")
    web, stratum = free_ports(2)
    environ = os.environ | {
        "SOLOMINER_DATA_DIR": str(folder / "data"),
        "SOLOMINER_CACHE": str(REPO / ".cache"),
        "SOLOMINER_CPU_WORKERS": "1",
        "SOLOMINER_STRATUM": f'[{{"listen": "127.0.0.1:{stratum}", "payout": "miner"}}]',
        "SOLOMINER_SCHEDULE__BLOCK_INTERVAL_SECS": "1",
        "SOLOMINER_WEB__LISTEN": f"127.0.0.1:{web}",
        "SOLOMINER_WEB__STATUS_FILES_DIR": str(folder / "ckpool"),
    }
    with (folder / "log").open("wb") as log:
        command = [*SOLOMINER, "run", "--mode", "regtest", "--web", "--plain"]
        process = subprocess.Popen(command, cwd=REPO, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    found = Live(f"127.0.0.1:{web}", folder / "ckpool", process)
    try:
        until(lambda: found.get("/readyz").status_code == 200, 240)
        miner = WireMiner(url=f"stratum+tcp://127.0.0.1:{stratum}")
        miner.log_in(user=f"{MINER_ADDRESS}.rig")
        until(lambda: _is_complete(found), 180)
        yield found
        miner.close()
    except AssertionError as error:
        text = (folder / "log").read_text(errors="replace")
        raise AssertionError(f"{error}\n{text[:2000]}\n...\n{text[-2000:]}") from error
    finally:
        process.terminate()
        process.wait(60)


def _is_complete(live: Live) -> bool:
    status = live.get("/api/v1/status").json()
    assert status["blocks"], "no block"
    assert status["rate_hps"], "no rate"
    assert any(each["connections"] for each in status["workers"]), f"no miner: {status['workers']}"
    return True
