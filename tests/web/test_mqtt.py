"""Home Assistant's discovery and the state, on a broker that keeps what it gets."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt")

from solominer.config.mqtt import MqttConfig
from solominer.config.web import WebConfig
from solominer.views.snapshot import encode
from solominer.web.app import create_app
from solominer.web.mqtt import publisher as publisher_module
from solominer.web.mqtt.discovery import Topics, discovery, state
from solominer.web.mqtt.publisher import MqttPublisher
from solominer.web.setup import WebSetup
from solominer.web.site import Site
from tests.engines.stratum.pem import make_certificate
from tests.ports import free_port
from tests.web.fake_broker import NOT_AUTHORIZED, FakeBroker
from tests.web.records import RecentHours
from tests.web.site import status, tell

PASSWORD = "a-secret-password"
TOPICS = Topics(MqttConfig())


@pytest.mark.parametrize("name", ["attic/+/#", "\0attic\n", "$SYS/attic", "<b>ATTIC", "\u202eattic"])
def test_no_name_reaches_another_topic(name: str) -> None:
    topics = Topics(MqttConfig(name=name))
    assert re.fullmatch("[a-z0-9_]+", topics.id)
    assert topics.state == f"solominer/{topics.id}/state"
    for topic, text in discovery(MqttConfig(name=name)):
        assert re.fullmatch(r"homeassistant/[a-z_]+/[a-z0-9_]+/[a-z_]+/config", topic)
        assert json.loads(text)["device"]["name"] == name


def site_of(folder: Path, **mqtt: Any) -> Site:
    config = MqttConfig(host="localhost", **mqtt)
    return Site.of(WebSetup(folder=folder, network="regtest", simulated=False, web=WebConfig(), mqtt=config))


@asynccontextmanager
async def publishing(site: Site) -> AsyncIterator[None]:
    running = asyncio.create_task(MqttPublisher(site.setup.mqtt, site.feed, site.live, site.best).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "EVERY_SECS", 0.05)
    monkeypatch.setattr(publisher_module, "FIRST_DELAY_SECS", 0.05)


async def test_home_assistant_learns_the_entities_and_their_state(tmp_path: Path) -> None:
    async with FakeBroker().serving() as broker:
        site = site_of(tmp_path, port=broker.port)
        tell(site, status(rate_hps=1.25e12, accepted_blocks=3))
        async with publishing(site):
            await until(lambda: broker.newest(TOPICS.state))
            await until(lambda: broker.newest(TOPICS.availability) == "online")
            found = json.loads(broker.newest(TOPICS.state) or "")
            assert found == {
                "rate_ghps": 1250.0, "blocks": 3, "best_session_difficulty": None, "tip_age_secs": 60, "mining": "ON"
            }  # fmt: skip
            site.feed._lost()
            await until(lambda: broker.newest(TOPICS.availability) == "offline")
            tell(site, status(status="paused: by hand"))
            await until(lambda: '"mining": "OFF"' in (broker.newest(TOPICS.state) or ""))
            await until(lambda: broker.newest(TOPICS.availability) == "online")
        await until(lambda: broker.ended == 1)
    assert broker.newest(TOPICS.availability) == "offline"
    (login,) = broker.logins
    assert login.will == (TOPICS.availability, "offline", True)
    assert (login.client_id, login.username, login.password) == ("solominer_solominer", None, None)
    configs = [message for message in broker.messages if message[0].startswith("homeassistant/")]
    assert configs == [(topic, payload, True) for topic, payload in discovery(site.setup.mqtt)]
    assert {retained for topic, _, retained in broker.messages if topic == TOPICS.state} == {False}


def test_each_entity_reads_a_field_of_the_state() -> None:
    config = MqttConfig(host="h", name="Solo miner, attic", discovery_prefix="ha")
    told = json.loads(state(orjson.loads(encode(status())), 5.0))
    fields, ids = [], set()
    for topic, payload in discovery(config):
        entity = json.loads(payload)
        component, field = topic.split("/")[1], topic.split("/")[3]
        assert topic == f"ha/{component}/solo_miner_attic/{field}/config"
        assert entity["value_template"] == f"{{{{ value_json.{field} }}}}"
        assert entity["state_topic"] == "solominer/solo_miner_attic/state"
        assert entity["availability_topic"] == "solominer/solo_miner_attic/availability"
        assert entity["device"]["name"] == "Solo miner, attic"
        assert (component == "binary_sensor") is (told[field] in ("ON", "OFF"))
        fields.append(field)
        ids.add(entity["unique_id"])
    assert fields == list(told)
    assert len(ids) == len(fields)


def test_what_is_unknown_is_null() -> None:
    told = json.loads(state(orjson.loads(encode(status(tip_at=0.0, status="waiting for a node"))), None))
    assert (told["tip_age_secs"], told["best_session_difficulty"], told["mining"]) == (None, None, "OFF")


async def test_the_best_share_is_that_of_the_session(recent: RecentHours, always_fresh: None) -> None:
    async with FakeBroker().serving() as broker:
        site = site_of(recent.bench.root, port=broker.port)
        tell(site, status())
        async with publishing(site):
            await until(lambda: broker.newest(TOPICS.state))
        best = site.best.session()
    assert best is not None
    assert json.loads(broker.newest(TOPICS.state) or "")["best_session_difficulty"] == best.difficulty


async def test_after_a_lost_connection_everything_is_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "solominer")
    async with FakeBroker().serving() as broker, publishing(site_of(tmp_path, port=broker.port)):
        await until(lambda: broker.newest(TOPICS.availability) == "offline")
        before = len(broker.messages)
        broker.drop()
        await until(lambda: len(broker.logins) == 2)
        await until(lambda: any(topic.startswith("homeassistant/") for topic, *_ in broker.messages[before:]))
    assert [each.message.split(" (")[0] for each in caplog.records] == [
        "connected to the MQTT broker",
        "MQTT broker: the connection was lost",
        "connected to the MQTT broker",
    ]


async def test_a_refused_login_is_logged_once_without_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    async with FakeBroker().serving() as broker:
        broker.answer = NOT_AUTHORIZED
        site = site_of(tmp_path, port=broker.port, username="me", password_file=tmp_path / "password")
        async with publishing(site):
            await until(lambda: len(broker.logins) == 2)
            assert {(each.username, each.password) for each in broker.logins} == {("me", PASSWORD)}
            broker.answer = 0
            await until(lambda: broker.newest(TOPICS.availability))
    assert len(caplog.records) == 1
    assert "check mqtt.username and mqtt.password_file" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_new_connection_gets_the_state_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "EVERY_SECS", 3600)
    async with FakeBroker().serving() as broker:
        site = site_of(tmp_path, port=broker.port)
        tell(site, status())
        async with publishing(site):
            await until(lambda: broker.newest(TOPICS.availability) == "online")


async def test_a_broker_that_is_not_there_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with publishing(site_of(tmp_path, port=free_port())):
        await until(lambda: caplog.records)
    assert caplog.messages == ["MQTT broker: it cannot be reached: check mqtt.host, mqtt.port and mqtt.tls"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # paho forgets the socket of a failed handshake
async def test_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = make_certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with FakeBroker(context).serving() as broker:
        async with publishing(site_of(tmp_path, port=broker.port, tls=True)):
            await until(lambda: "it cannot be reached" in caplog.text)
        assert broker.logins == [], "nobody has signed that certificate"
        gc.collect()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with publishing(site_of(tmp_path, port=broker.port, tls=True)):
            await until(lambda: broker.newest(TOPICS.availability))


async def ended(site: Site, caplog: pytest.LogCaptureFixture) -> str:
    """The error of a publisher that cannot begin."""
    caplog.clear()
    await MqttPublisher(site.setup.mqtt, site.feed, site.live, site.best).run()
    (message,) = caplog.messages
    return message


async def test_what_is_missing_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "password"
    site = site_of(tmp_path, username="me", password_file=path)
    assert (await ended(site, caplog)).startswith(f"mqtt: no password file at {path} -> ")
    path.write_bytes(b"\xff" + PASSWORD.encode())
    assert (await ended(site, caplog)).startswith(f"mqtt: the password file {path} is not UTF-8 text -> ")
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    assert await ended(site, caplog) == 'mqtt needs the package paho-mqtt: pip install "solominer[mqtt]"'


async def test_the_server_publishes_where_a_broker_is_set(tmp_path: Path) -> None:
    async with FakeBroker().serving() as broker:
        app = create_app(site_of(tmp_path, port=broker.port))
        async with app.router.lifespan_context(app):
            await until(lambda: broker.newest(TOPICS.availability))
        await until(lambda: broker.ended == 1)
