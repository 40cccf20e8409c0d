"""Alerts from records and a daemon to ntfy, a webhook and mail: each once, over restarts and failures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from solominer.config.alerts import AlertsConfig
from solominer.config.devices import DeviceConfig
from solominer.config.models import Config
from solominer.config.web import WebConfig
from solominer.records.recorder import Recorder
from solominer.web.alerts import center as center_module
from solominer.web.alerts import conditions as conditions_module
from solominer.web.alerts import rules as rules_module
from solominer.web.alerts.state import FILE
from solominer.web.devices.reading import Reading
from solominer.web.setup import WebSetup
from solominer.web.site import Site
from tests.web.receivers import HttpReceiver, MailReceiver
from tests.web.states import FakeDaemon

SECRET = "tk_a-secret-token"


class Bench:
    """Records, a daemon, receivers, and a web server's alert center that can be restarted."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "regtest"
        self.recorder = Recorder(folder, "regtest", on_alarm=lambda *_: None)
        self.recorder.open(time.time())
        self.daemon = FakeDaemon(self.tree)
        self.http, self.mail = HttpReceiver(), MailReceiver()

    def config(self, **more: Any) -> AlertsConfig:
        base = f"http://127.0.0.1:{self.http.port}"
        values: dict[str, Any] = {
            "ntfy": f"{base}/topic-{SECRET}",
            "ntfy_token": SECRET,
            "webhook": f"{base}/hook/{SECRET}",
            "smtp": {"host": "127.0.0.1", "port": self.mail.port, "encryption": "none", "to": ["me@example.org"]},
        }
        return AlertsConfig(**{**values, **more})

    @asynccontextmanager
    async def running(self, config: AlertsConfig | None = None, **more: Any) -> AsyncIterator[Site]:
        alerts = config or self.config()
        setup = WebSetup(folder=self.tree, network="regtest", simulated=False, web=WebConfig(), alerts=alerts, **more)
        site = Site.of(setup)
        tasks: list[asyncio.Task[None]] = [asyncio.create_task(site.feed.run())]
        try:
            await until(lambda: site.feed.running)  # else the daemon may be missed for a moment, and that is an alert
            tasks.append(asyncio.create_task(site.alerts.run()))
            await until(lambda: hasattr(site.alerts, "_status"))
            yield site
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(result, asyncio.CancelledError), result

    def block(self, height: int) -> None:
        fields = {"height": height, "hash": f"{height:064x}", "worker": "cpu/0", "reward_sats": 5_000_000_000}
        self.recorder.record(time.time(), "block_found", fields)
        assert self.recorder.flush(60)

    def hooks(self) -> list[str]:
        return [body["title"] for path, body in self.http.posts if path.startswith("/hook")]

    def pushes(self) -> list[str]:
        return [body["title"] for path, body in self.http.posts if path == "/"]

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]).removeprefix("[solominer] ") for _, mail in self.mail.mails]

    async def everywhere(self, *titles: str) -> None:
        await until(lambda: self.hooks() == self.pushes() == self.subjects() == list(titles))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(center_module, "FRESH_SECS", 0.05)
    monkeypatch.setattr("solominer.web.live.FRESH_SECS", 0.05)
    monkeypatch.setattr("solominer.web.feed.RETRY_SECS", 0.05)
    monkeypatch.setattr(center_module, "FIRST_RETRY_SECS", 0.1)
    monkeypatch.setattr(rules_module, "DAEMON_SECS", 0.5)
    monkeypatch.setattr(conditions_module, "RECOVERY_SECS", 0.2)
    bench = Bench(tmp_path)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(bench.http.serving())
        await stack.enter_async_context(bench.mail.serving())
        yield bench
    bench.recorder.close(time.time())


async def test_a_device_is_reported_once_over_a_restart_and_when_it_is_back(bench: Bench) -> None:
    devices = (DeviceConfig(host="10.0.0.1", name="kitchen"),)
    async with bench.daemon.serving():
        async with bench.running(devices=devices) as site:
            for _ in range(3):
                site.devices.devices[0].fail("it does not answer: check its power and network")
            await bench.everywhere("kitchen is offline")
            assert site.alerts.state.raised.keys() == {"device/monitored/kitchen/offline"}
        async with bench.running(devices=devices) as site:
            for _ in range(3):
                site.devices.devices[0].fail("it does not answer: check its power and network")
            bench.block(101)
            await bench.everywhere("kitchen is offline", "Block 101 found")
            site.devices.devices[0].take(Reading("axeos", rate_hps=1e12), time.time())
            await bench.everywhere("kitchen is offline", "Block 101 found", "kitchen answers again")


async def test_each_alert_is_delivered_once_to_every_destination_over_restarts(bench: Bench) -> None:
    bench.block(100)  # before the first start: no flood
    async with bench.daemon.serving():
        async with bench.running():
            bench.block(101)
            await bench.everywhere("Block 101 found")
        bench.block(102)  # while the web server is down
        async with bench.running():
            await bench.everywhere("Block 101 found", "Block 102 found")
        async with bench.running():
            bench.block(103)
            await bench.everywhere("Block 101 found", "Block 102 found", "Block 103 found")
            await asyncio.sleep(0.3)
    await bench.everywhere("Block 101 found", "Block 102 found", "Block 103 found")
    _, body = next(post for post in bench.http.posts if post[0].startswith("/hook"))
    assert body["fields"]["height"] == 101
    assert body["id"].startswith("block:found/")
    (to, mail), *_ = bench.mail.mails
    assert (to, mail["To"]) == (["me@example.org"], "me@example.org")
    assert any(f"Bearer {SECRET}" in head for head in bench.http.headers)


async def test_what_a_destination_does_not_take_is_sent_later_also_after_a_restart(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.daemon.serving():
        async with bench.running() as site:
            bench.http.status, bench.mail.refuses = 500, True
            bench.block(101)
            await until(lambda: sum(queued.attempts >= 2 for queued in site.alerts.state.queue) == 3)
        bench.http.status, bench.mail.refuses = 200, False
        async with bench.running() as site:
            await bench.everywhere("Block 101 found")
            await until(lambda: not site.alerts.state.queue)
    assert caplog.text.count("did not take an alert") == 3  # once for each destination, not for each try
    assert SECRET not in caplog.text


async def test_a_lost_daemon_is_reported_with_its_return(bench: Bench) -> None:
    async with bench.daemon.serving():
        context = bench.running()
        await context.__aenter__()
    await bench.everywhere("solominer is not running")
    async with bench.daemon.serving():
        await bench.everywhere("solominer is not running", "solominer is running again")
        await context.__aexit__(None, None, None)


async def test_kinds_muting_and_too_many(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async with bench.daemon.serving():
        async with bench.running(bench.config(events=["node"])) as site:
            bench.block(101)
            await until(lambda: site.alerts.state.recent)
            assert not site.alerts.state.queue
        async with bench.running() as site:
            site.alerts.mute(time.time() + 3600)
            bench.block(102)
            await until(lambda: len(site.alerts.state.recent) == 2)
        async with bench.running() as site:
            assert site.alerts.state.muted_until > time.time()
            site.alerts.mute(0.0)
            for height in range(103, 103 + 2 * center_module.MOST_AN_HOUR):
                bench.block(height)
            await until(lambda: len(bench.hooks()) == center_module.MOST_AN_HOUR)
            await until(lambda: "no more are sent" in caplog.text)
    assert "Block 101 found" not in bench.hooks()
    assert "Block 102 found" not in bench.hooks()


async def test_a_test_goes_to_every_destination_and_says_what_is_wrong(bench: Bench) -> None:
    async with bench.daemon.serving(), bench.running() as site:
        assert await site.alerts.test() == {"ntfy": "", "webhook": "", "mail": ""}
        await bench.everywhere("alerts work")
        bench.http.status = 403
        wrong = await site.alerts.test()
    assert "it answered 403" in wrong["webhook"]
    assert SECRET not in json.dumps(wrong)


async def test_mail_that_cannot_be_sent_says_why(bench: Bench, tmp_path: Path) -> None:
    """Without the password, which is in no message."""
    password = tmp_path / "mail-password"
    smtp = {"host": "127.0.0.1", "port": bench.mail.port, "to": ["me@example.org"], "password_file": str(password)}
    async with bench.daemon.serving():
        async with bench.running(bench.config(smtp=smtp)) as site:
            assert f"no password file at {password}" in (await site.alerts.test())["mail"]
        password.write_text(SECRET)
        async with bench.running(bench.config(smtp=smtp)) as site:  # this server has no STARTTLS
            wrong = (await site.alerts.test())["mail"]
    assert "the mail server cannot be used" in wrong
    assert SECRET not in wrong


async def test_pings_stop_when_mining_stops(bench: Bench) -> None:
    config = bench.config(ping_url=f"http://127.0.0.1:{bench.http.port}/ping").model_copy(update={"ping_secs": 0.05})
    async with bench.daemon.serving(), bench.running(config) as site:
        await until(lambda: len(bench.http.gets) > 3)
        bench.daemon.state = replace(bench.daemon.state, status="waiting for a node")
        await until(lambda: site.feed.status and site.feed.status["status"] == "waiting for a node")
        count = len(bench.http.gets)
        await asyncio.sleep(0.5)
        assert len(bench.http.gets) <= count + 1, "one was on its way"


async def test_a_state_file_that_cannot_be_used_is_begun_anew(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.block(100)
    for content in (b"", b"{", b'{"format": "solominer-web-alerts/9"}', b'{"queue": 7}'):
        (bench.tree / FILE).write_bytes(content)
        async with bench.daemon.serving(), bench.running():
            await asyncio.sleep(0.1)
    assert caplog.text.count("alerts begin anew") == 4
    assert bench.hooks() == []
    assert (bench.tree / FILE).stat().st_mode & 0o777 == 0o600


async def test_the_servers_process_gets_the_secrets_and_nothing_else_shows_them(bench: Bench) -> None:
    config = Config(alerts=bench.config(smtp={"host": "a", "to": ["b@c"], "username": "u", "password": SECRET}))
    setup = WebSetup(folder=bench.tree, network="regtest", simulated=False, web=WebConfig(), alerts=config.alerts)
    again = WebSetup.model_validate_json(setup.line())
    assert again.alerts.webhook is not None
    assert again.alerts.webhook.get_secret_value().endswith(SECRET)
    assert again.alerts == config.alerts
    assert SECRET not in config.model_dump_json() + repr(config) + repr(setup) + setup.model_dump_json()


def test_mail_needs_encryption_for_a_password() -> None:
    with pytest.raises(ValueError, match="encryption"):
        AlertsConfig(smtp={"host": "a", "to": ["b@c"], "encryption": "none", "password": "x"})


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ntfy.sh/topic", ""])
def test_destinations_are_http(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        AlertsConfig(webhook=SecretStr(url))


async def test_redirects_are_not_followed(bench: Bench) -> None:
    """A token must not go to whoever the first server names."""
    async with bench.daemon.serving(), bench.running() as site:
        bench.http.status = 302
        assert "it answered 302" in (await site.alerts.test())["ntfy"]
