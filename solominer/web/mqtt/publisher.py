"""Keeps Home Assistant informed: discovery once for each connection, the state every ten seconds."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from solominer.config.mqtt import MqttConfig
from solominer.config.password_file import read_password
from solominer.errors import ConfigError, SolominerError
from solominer.web.best import BestShares
from solominer.web.feed import DaemonFeed
from solominer.web.live import Live
from solominer.web.mqtt.discovery import OFFLINE, ONLINE, Topics, discovery, state

if TYPE_CHECKING:
    from paho.mqtt.client import Client

EVERY_SECS = 10.0
KEEPALIVE_SECS = 30
FIRST_DELAY_SECS, MAX_DELAY_SECS = 1, 60

log = logging.getLogger(__name__)


class MqttPublisher:
    """`run` until cancelled. The client has a thread of its own; it connects again by itself."""

    def __init__(self, config: MqttConfig, feed: DaemonFeed, live: Live, best: BestShares) -> None:
        self._config, self._feed, self._live, self._best = config, feed, live, best
        self._topics = Topics(config)
        self._problem: str | None = None
        self._fresh = asyncio.Event()

    async def run(self) -> None:
        """Publish; why it cannot is logged once until it can again."""
        client = self._client()
        if client is None:
            return
        client.connect_async(self._config.host, self._config.port, KEEPALIVE_SECS)
        client.loop_start()
        try:
            while True:
                await self._publish(client)
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_SECS):
                        await self._fresh.wait()
                self._fresh.clear()
        finally:
            if client.is_connected():
                client.publish(self._topics.availability, OFFLINE, retain=True)
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def _client(self) -> Client | None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            log.error('mqtt needs the package paho-mqtt: pip install "solominer[mqtt]"')
            return None
        config = self._config
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"solominer_{self._topics.id}")
        try:
            if config.username:
                client.username_pw_set(config.username, self._password())
        except ConfigError as error:
            log.error("mqtt: %s -> %s", error.what, error.todo)
            return None
        if config.tls:
            client.tls_set_context(ssl.create_default_context())
        client.will_set(self._topics.availability, OFFLINE, retain=True)
        client.reconnect_delay_set(FIRST_DELAY_SECS, MAX_DELAY_SECS)
        loop = asyncio.get_running_loop()

        def connected(client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
            self._connected(client, code)
            loop.call_soon_threadsafe(self._fresh.set)

        client.on_connect = connected
        client.on_connect_fail = lambda *_: self._failed(
            "it cannot be reached: check mqtt.host, mqtt.port and mqtt.tls"
        )
        client.on_disconnect = lambda _client, _data, _flags, code, _properties: self._left(code)
        return client

    def _password(self) -> str | None:
        return None if self._config.password_file is None else read_password(self._config.password_file)

    def _connected(self, client: Client, code: Any) -> None:
        if code.is_failure:
            self._failed(f"it refused the login ({code}): check mqtt.username and mqtt.password_file")
            return
        self._problem = None
        log.info("connected to the MQTT broker")
        for topic, payload in discovery(self._config):
            client.publish(topic, payload, retain=True)

    def _left(self, code: Any) -> None:
        if code.is_failure and self._problem is None:
            self._failed(f"the connection was lost ({code}); it is made again")

    def _failed(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("MQTT broker: %s", problem)

    async def _publish(self, client: Client) -> None:
        if not client.is_connected():
            return
        status = self._feed.status if self._feed.running else None
        if status is not None:
            best = await self._best_difficulty()
            client.publish(self._topics.state, state(status, best))
        client.publish(self._topics.availability, OFFLINE if status is None else ONLINE, retain=True)

    async def _best_difficulty(self) -> float | None:
        try:
            await self._live.fresh()
            best = await asyncio.to_thread(self._best.session)
        except (OSError, SolominerError):  # the records may come back
            return None
        return None if best is None else best.difficulty
