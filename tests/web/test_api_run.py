"""A whole run on fake nodes, seen through the API while it mines and after it has ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from solominer.daemon.host_metrics import now
from solominer.web.setup import WebSetup
from solominer.work.events import PolicyChanged
from tests.daemon.test_run import Running, config_of, hashlib_kernel  # noqa: F401
from tests.fakes import FakeEngine
from tests.ports import free_port
from tests.web.serving import Served, serving


async def test_blocks_and_shares_of_a_run(tmp_path: Path, always_fresh: None) -> None:
    config = config_of(tmp_path, **{"web.listen": f"127.0.0.1:{free_port()}"})
    with serving(WebSetup.of(config)) as served:
        running = Running(config, engine=FakeEngine(auto=2))
        await running.until(lambda: running.run.executor is not None)
        executor = running.run.executor
        assert executor is not None
        executor.post(PolicyChanged(now(), replace(executor.coordinator.policy, max_blocks=4)))
        await running.until(lambda: served.site.feed.running and served.site.feed.status["accepted_blocks"] >= 2)  # type: ignore[index]
        odds = await asyncio.to_thread(served.get, "odds")
        assert odds["network_difficulty"] == served.site.feed.status["network_difficulty"]  # type: ignore[index]
        await running.until(lambda: not executor._is_busy)  # however long its disk takes for what was found
        assert await running.end() == 0
        await asyncio.to_thread(_after_it_has_ended, served)


def _after_it_has_ended(served: Served) -> None:
    blocks = served.get("blocks", limit=200)["blocks"]
    assert len(blocks) >= 2
    for block in blocks:
        assert block["worker"].startswith(("fake/", "cpu/"))
        assert block["states"]
        assert served.http.get(block["proof"]).json()["hash"] == block["hash"]
    assert {block["state"] for block in blocks} & {"accepted", "confirmed"}
    shares = served.get("shares", limit=1000)
    assert {block["hash"] for block in blocks} <= {share["hash"] for share in shares["shares"]}
    assert shares["best_session"] == shares["top"][0]
    (report,) = served.get("reports")["reports"]
    assert report["why"] == "shutdown"
    assert report["blocks_found"] == served.get("odds")["blocks_found"]
    assert len(blocks) == min(report["blocks_found"], 200)
    assert "tip_to_full" in served.get("latency")["kinds"]
