"""Follows the daemon and the ledger, and sends alerts; each once, over restarts of daemon and web server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from solominer.errors import SolominerError
from solominer.records.tree import HOUR_SECS
from solominer.web.alerts.conditions import Conditions
from solominer.web.alerts.device_rules import DeviceRules
from solominer.web.alerts.digest import digest, due
from solominer.web.alerts.rules import LedgerRules, StatusRules
from solominer.web.alerts.senders import Send, SendFailed, request, senders
from solominer.web.alerts.state import MOST_QUEUED, MOST_SENT, Alert, AlertState, Queued, StateFile
from solominer.web.devices.device import DeviceMonitor
from solominer.web.feed import DaemonFeed
from solominer.web.live import FRESH_SECS, Live
from solominer.web.setup import WebSetup
from solominer.web.tail import Entry
from solominer.work.instant import Instant

FIRST_RETRY_SECS, MAX_RETRY_SECS, GIVE_UP_SECS = 5.0, 3600.0, 86_400.0
LAST_ANSWER_SECS = 2.0
MOST_AN_HOUR = 20
"""Alerts of one kind within an hour; the rest is dropped and logged: on regtest blocks come every second."""

TEST = "alerts work"

log = logging.getLogger(__name__)


def now() -> Instant:
    """The current time of both clocks."""
    return Instant(time.time(), time.monotonic())


class AlertCenter:
    """`run` until cancelled. `test`, `mute` and `state` are for the API."""

    def __init__(self, setup: WebSetup, feed: DaemonFeed, live: Live, monitor: DeviceMonitor) -> None:
        self.config = config = setup.alerts
        self._setup, self._feed, self._live, self._monitor = setup, feed, live, monitor
        self._file = StateFile(setup.folder)
        self.senders: dict[str, Send] = senders(config)
        self.state = AlertState()
        self._news: list[Entry] = []
        self._lately: Counter[tuple[str, int]] = Counter()
        self._wake = asyncio.Event()

    @property
    def is_on(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.senders) or self.config.ping_url is not None

    async def run(self) -> None:
        """Watch and send."""
        saved = self._file.load()
        self.state = saved or AlertState(alarms_until=time.time())
        self.state.queue = [queued for queued in self.state.queue if queued.to in self.senders]
        self._live.listeners.append(self._news.extend)
        try:
            await self._begin(is_new=saved is None)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(), name="alert rules")
                for name in self.senders:
                    group.create_task(self._deliver(name), name=f"alerts to {name}")
                if self.config.ping_url is not None:
                    group.create_task(self._ping(), name="ping")
        finally:
            self._live.listeners.remove(self._news.extend)
            self._file.save(self.state)

    async def _begin(self, *, is_new: bool) -> None:
        """Where the ledger is read from: at first its end, later where it was left, for blocks however long ago."""
        state = self.state
        with suppress(OSError, SolominerError):
            await self._live.fresh()
            index = await asyncio.to_thread(self._live.index)
            if is_new:
                newest = await asyncio.to_thread(index.query, "all", limit=1)
                missed: list[dict[str, Any]] = []
                state.seq = newest[-1]["seq"] if newest else 0
                report = await asyncio.to_thread(self._live.report)
                best = report["best"]["all_time"] if report else None
                state.best_difficulty = float(best["difficulty"]) if best else 0.0
            else:
                missed = await asyncio.to_thread(index.query, "blocks", since=state.seq_at - HOUR_SECS)
            self._news[:0] = missed
        self._ledger = LedgerRules(
            is_test_chain=self._setup.network != "mainnet", best_difficulty=state.best_difficulty, nbits=state.nbits
        )
        conditions = Conditions(state.raised, now())
        self._status = StatusRules(
            self.config, conditions, now(), alarms_until=state.alarms_until, alarms_sent=state.alarms_sent
        )
        self._devices = DeviceRules(
            self._monitor.devices,
            conditions,
            idle_secs=self.config.offline_secs,
            interval_secs=self._monitor.polling.interval_secs,
        )

    async def _watch(self) -> None:
        while True:
            with suppress(OSError, SolominerError):  # the records may come back
                await self._live.fresh()
            self._take(self._of_ledger())
            status, running = self._feed.status, self._feed.running
            self._take(self._status.alerts(status, now(), running=running))
            working = running and status is not None and status["status"].startswith("mining")
            self._take(self._devices.alerts(now(), working=working))
            await self._sum_up()
            self._remember()
            await asyncio.sleep(FRESH_SECS)

    def _of_ledger(self) -> list[Alert]:
        lines = sorted(self._news, key=lambda line: line["seq"])
        self._news.clear()
        alerts: list[Alert] = []
        for line in lines:
            if line["seq"] > self.state.seq:
                self.state.seq, self.state.seq_at = line["seq"], line["at"]
                alerts += self._ledger.alerts(line)
        return alerts

    async def _sum_up(self) -> None:
        wanted = {"off": (), "daily": (False,), "weekly": (True,), "both": (False, True)}[self.config.digest]
        for weekly in wanted:
            name, at = "weekly" if weekly else "daily", time.time()
            period = due(at, self.state.digests.get(name, ""), weekly=weekly)
            if period is None:
                continue
            is_first = name not in self.state.digests
            self.state.digests[name] = period
            if not is_first:
                alert = await asyncio.to_thread(digest, self._live.tree, self._setup.network, period, at)
                self._take([alert] if alert is not None else [])

    def _take(self, alerts: Iterable[Alert]) -> None:
        """Queue alerts for every destination, unless their kind is off, they are muted or too many."""
        for alert in alerts:
            state, hour = self.state, int(time.time() // HOUR_SECS)
            state.recent = [*state.recent, alert][-MOST_SENT:]
            if alert.kind not in self.config.events or time.time() < state.muted_until:
                continue
            self._lately = Counter({key: count for key, count in self._lately.items() if key[1] == hour})
            self._lately[alert.kind, hour] += 1
            if self._lately[alert.kind, hour] > MOST_AN_HOUR:
                if self._lately[alert.kind, hour] == MOST_AN_HOUR + 1:
                    log.warning(
                        "more than %d alerts of kind %s in this hour: no more are sent", MOST_AN_HOUR, alert.kind
                    )
                continue
            self.queue(alert)

    def queue(self, alert: Alert) -> None:
        """Send an alert to every destination."""
        at = time.time()
        self.state.queue += [Queued(name, alert, at, at) for name in self.senders]
        del self.state.queue[:-MOST_QUEUED]
        self._wake.set()

    def _remember(self) -> None:
        state, status = self.state, self._status
        state.best_difficulty, state.nbits = self._ledger.best_difficulty, self._ledger.nbits
        state.alarms_until, state.alarms_sent = status.alarms_until, status.alarms_sent
        state.raised = status.conditions.raised
        self._file.save(state)

    async def _deliver(self, name: str) -> None:
        """Send to one destination, in order; a failed one is tried again with increasing delay."""
        failing = False
        while True:
            first = next((queued for queued in self.state.queue if queued.to == name), None)
            if first is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            if (secs := first.next_at - time.time()) > 0:
                await asyncio.sleep(min(secs, MAX_RETRY_SECS))
            try:
                await self._send(name, first)
            except SendFailed as error:
                if not failing:
                    log.warning("%s did not take an alert: %s", name, error)
                failing = True
                first.attempts += 1
                first.next_at = time.time() + min(FIRST_RETRY_SECS * 2 ** min(first.attempts - 1, 16), MAX_RETRY_SECS)
                if time.time() - first.first_at < GIVE_UP_SECS:
                    continue
                log.error("an alert was given up for %s: %s", name, first.alert.title)
            else:
                failing = False
            self._done(first)
            self._file.save(self.state)

    async def _send(self, name: str, queued: Queued) -> None:
        """Send one; at shutdown, wait a moment for the answer, so that it is not sent again. Raises SendFailed."""
        sending = asyncio.create_task(asyncio.to_thread(self.senders[name], queued.alert))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait([sending], timeout=LAST_ANSWER_SECS)
            if sending.done() and sending.exception() is None:
                self._done(queued)
            raise

    def _done(self, queued: Queued) -> None:
        with suppress(ValueError):  # dropped meanwhile, as too many were waiting
            self.state.queue.remove(queued)

    async def _ping(self) -> None:
        """Request the URL while mining works; its service alerts when the requests stop."""
        assert self.config.ping_url is not None
        while True:
            status = self._feed.status
            if self._feed.running and status is not None and status["status"].startswith(("mining", "paused")):
                with suppress(SendFailed):
                    await asyncio.to_thread(request, self.config.ping_url)
                await asyncio.sleep(self.config.ping_secs)
            else:
                await asyncio.sleep(FRESH_SECS)

    async def test(self) -> dict[str, str]:
        """Send a test to every destination at once; what went wrong, by name, or "" where it was taken."""
        alert = Alert("other", "test", time.time(), TEST, "This is a test from solominer.", 3)
        return dict(
            zip(self.senders, await asyncio.gather(*(self._try(name, alert) for name in self.senders)), strict=True)
        )

    async def _try(self, name: str, alert: Alert) -> str:
        try:
            await asyncio.to_thread(self.senders[name], alert)
        except SendFailed as error:
            return str(error)
        return ""

    def mute(self, until: float) -> None:
        """Send nothing before `until` (Unix seconds); 0 ends it. What happens meanwhile is not sent later."""
        self.state.muted_until = until
        self._file.save(self.state)
