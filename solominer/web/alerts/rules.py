"""Which alerts follow from lines of the ledger and from states of the daemon. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from solominer.chain.hashes import hash_to_int
from solominer.chain.target import decode_compact, difficulty
from solominer.config.alerts import AlertKind, AlertsConfig
from solominer.errors import SolominerError
from solominer.views.text import coins, difficulty_text, duration, rate
from solominer.web.alerts.conditions import Conditions
from solominer.web.alerts.device_rules import MONITORED
from solominer.web.alerts.state import Alert
from solominer.work.instant import Instant

DAEMON_SECS, MINING_SECS, NODE_SECS, RATE_SECS = 30.0, 90.0, 60.0, 600.0
"""How long the daemon, its work, a node or the hash rate must be bad before an alert."""

RATE_MEMORY_SECS = 6 * 3600.0
RATE_LEARNING_SECS = 900.0
"""Age of the usual rate before it is compared with."""

REPEAT_SECS = 3600.0
"""An alarm with the same code is sent again after this time."""

FORGET_WORKER_SECS = 86_400.0

_RECORDS = frozenset(
    {"records-failing", "records-recovered", "records-fault", "hour-not-sealed", "clock", "report-changed"}
)
_PAYOUT = frozenset({"job-refused", "template-invalid", "job-not-signed"})
_RECOVERIES = {"records-recovered": "records-failing", "nodes-agree": "nodes-disagree", "clock": "clock"}
_ALERTED = frozenset({"critical", "high"})


class LedgerRules:
    """One-off events, from lines of the ledger in their order.

    `best_difficulty` is that of the best share so far; `nbits` the last difficulty seen, as in the header (hex).
    """

    def __init__(self, *, is_test_chain: bool, best_difficulty: float, nbits: str) -> None:
        self._is_test_chain = is_test_chain
        self.best_difficulty, self.nbits = best_difficulty, nbits

    def alerts(self, line: Mapping[str, Any]) -> Iterator[Alert]:
        """The alerts of one line; lines of foreign or damaged forms have none."""
        handler = getattr(self, f"_{line.get('kind')}", None)
        if handler is not None:
            try:
                yield from handler(line, float(line["at"]))
            except (KeyError, TypeError, ValueError, ArithmeticError, SolominerError):
                return

    def _block_found(self, line: Mapping[str, Any], at: float) -> Iterator[Alert]:
        height, hash_hex = line["height"], line["hash"]
        text = f"{coins(line['reward_sats'])}, by {line['worker']}. It has been sent to every node."
        fields = {"height": height, "hash": hash_hex, "reward_sats": line["reward_sats"], "worker": line["worker"]}
        yield Alert("block", f"found/{hash_hex}", at, f"Block {height} found", text, 5, fields=fields)

    def _block_state(self, line: Mapping[str, Any], at: float) -> Iterator[Alert]:
        height, hash_hex, state = line["height"], line["hash"], line["state"]
        fields = {"height": height, "hash": hash_hex, "state": state}
        titles = {
            "accepted": (f"Block {height} accepted", "A node has it in its chain.", 4),
            "stale": (f"Block {height} orphaned", "Another block has replaced it; it may still come back.", 5),
            "rejected": (f"Block {height} rejected", "Nodes refuse it: see the log and its proof.", 5),
            "mature": (f"Block {height} matured", "It has 100 confirmations: its reward can be spent.", 3),
        }
        if state in titles:
            title, text, priority = titles[state]
            yield Alert("block", f"{state}/{hash_hex}", at, title, text, priority, fields=fields)

    def _share(self, line: Mapping[str, Any], at: float) -> Iterator[Alert]:
        if self._is_test_chain:
            return
        found = difficulty(max(hash_to_int(bytes.fromhex(line["hash"])[::-1]), 1))
        if found <= self.best_difficulty:
            return
        before, self.best_difficulty = self.best_difficulty, found
        if before:
            title = f"New best share: {difficulty_text(found)}"
            text = f"By {line['worker']}; the best before had {difficulty_text(before)}."
            fields = {"difficulty": found, "before": before, "worker": line["worker"], "hash": line["hash"]}
            yield Alert("best_share", line["hash"], at, title, text, fields=fields)

    def _work(self, line: Mapping[str, Any], at: float) -> Iterator[Alert]:
        before, self.nbits = self.nbits, line["nbits"]
        if self._is_test_chain or not before or before == self.nbits:
            return
        old, new = (difficulty(decode_compact(int(nbits, 16))) for nbits in (before, self.nbits))
        title = f"Network difficulty {difficulty_text(new)} ({100 * (new / old - 1):+.2f} %)"
        fields = {"difficulty": new, "before": old, "height": line["height"]}
        yield Alert("retarget", str(line["height"]), at, title, f"From block {line['height']} on.", 2, fields=fields)


class StatusRules:
    """Conditions that last, and alarms, from states of the daemon.

    `alarms_until` is the time of the last alarm seen, `alarms_sent` when each code was last sent (Unix seconds).
    """

    def __init__(
        self,
        config: AlertsConfig,
        conditions: Conditions,
        now: Instant,
        *,
        alarms_until: float,
        alarms_sent: Mapping[str, float],
    ) -> None:
        self._config, self.conditions = config, conditions
        self.alarms_until, self.alarms_sent = alarms_until, dict(alarms_sent)
        self._usual_hps = 0.0
        self._rate_known_secs = 0.0
        self._rate_at: Instant | None = None
        self._limits: tuple[float, int] | None = None
        raised = [key.removeprefix("device/") for key in conditions.raised if key.startswith("device/")]
        self._workers = dict.fromkeys((key for key in raised if not key.startswith(MONITORED)), now)

    def alerts(self, status: Mapping[str, Any] | None, now: Instant, *, running: bool) -> Iterator[Alert]:
        """The alerts of a state; `running`: whether the daemon is connected."""
        yield from self.conditions.alerts(
            "mining", "daemon", now, DAEMON_SECS, bad=not running,
            title="solominer is not running", text="The daemon does not answer: look at its log, and start it again.",
            again="solominer is running again", priority=5,
        )  # fmt: skip
        if status is None or not running:
            return
        yield from self._alarms(status)
        yield from self._mining(status, now)
        yield from self._nodes(status, now)
        yield from self._rate(status, now)
        yield from self._devices(status, now)

    def _alarms(self, status: Mapping[str, Any]) -> Iterator[Alert]:
        self.alarms_until = min(self.alarms_until, status["at"])  # the clock was set back
        for alarm in status.get("alarms", ()):
            at, severity, code = alarm["at"], alarm["severity"], alarm["code"]
            if at <= self.alarms_until:
                continue
            self.alarms_until = at
            kind: AlertKind = "records" if code in _RECORDS else "payout" if code in _PAYOUT else "other"
            recovered = _RECOVERIES.get(code) if severity == "info" else None
            if recovered in self.alarms_sent:
                del self.alarms_sent[recovered]
                yield Alert(kind, code, at, alarm["message"], recovered=True)
            elif severity in _ALERTED and not 0 <= at - self.alarms_sent.get(code, float("-inf")) < REPEAT_SECS:
                self.alarms_sent[code] = at
                yield Alert(kind, code, at, alarm["message"], alarm["todo"], 5 if severity == "critical" else 4)

    def _mining(self, status: Mapping[str, Any], now: Instant) -> Iterator[Alert]:
        state = status["status"]
        todo = "look at its log" if status.get("mode") == "pool" else "check its nodes with `solominer doctor`"
        yield from self.conditions.alerts(
            "mining", "work", now, MINING_SECS, bad=not state.startswith(("mining", "paused")),
            title="Mining has stopped", text=f"solominer is {state}: {todo}.",
            again="Mining again", priority=5,
        )  # fmt: skip

    def _nodes(self, status: Mapping[str, Any], now: Instant) -> Iterator[Alert]:
        for node in status["nodes"]:
            name, problem = node["name"], node["note"] or "it does not answer"
            yield from self.conditions.alerts(
                "node", name, now, NODE_SECS, bad=not node["usable"],
                title=f"Node {name} cannot be used", text=f"{problem}. Check it with `solominer doctor`.",
                again=f"Node {name} can be used again",
            )  # fmt: skip

    def _rate(self, status: Mapping[str, Any], now: Instant) -> Iterator[Alert]:
        """The usual rate is an exponential average while mining; it does not follow a rate that is too low.

        It begins anew when fewer or more workers may hash.
        """
        rate_hps, share = status["rate_hps"] or 0.0, self._config.rate_low_share
        if not status["status"].startswith("mining"):
            self._rate_at = None
            return
        limits = status.get("intensity", 1.0), len(_in_state(status, "paused", "left"))
        if limits != self._limits:
            self._limits, self._rate_known_secs = limits, 0.0
        secs = now - self._rate_at if self._rate_at else 0.0
        self._rate_at = now
        low = self._rate_known_secs >= RATE_LEARNING_SECS and rate_hps < share * self._usual_hps
        if not low:
            self._rate_known_secs += secs
            memory_secs = min(RATE_MEMORY_SECS, max(self._rate_known_secs, 1.0))
            self._usual_hps += (rate_hps - self._usual_hps) * min(secs / memory_secs, 1.0)
        yield from self.conditions.alerts(
            "rate", "rate", now, RATE_SECS, bad=low,
            title=f"Hash rate is low: {rate(rate_hps)}",
            text=f"Usual is {rate(self._usual_hps)}. Look for workers that are offline or hot: `solominer status`.",
            again=f"Hash rate is back to {rate(rate_hps)}",
        )  # fmt: skip

    def _devices(self, status: Mapping[str, Any], now: Instant) -> Iterator[Alert]:
        """Workers and miners that hashed within a day and do not any more while there is work."""
        if not status["status"].startswith("mining"):
            return
        hashing = {worker["worker"] for worker in status["workers"] if worker["alive"] and worker["rate_hps"] > 0}
        self._workers |= dict.fromkeys(hashing, now)
        working = hashing | _in_state(status, "paused")
        left = _in_state(status, "left")
        for name, seen in list(self._workers.items()):
            if name in left or now - seen > FORGET_WORKER_SECS:
                del self._workers[name]
                self.conditions.forget(f"device/{name}")
                continue
            yield from self.conditions.alerts(
                "device", name, now, self._config.offline_secs, bad=name not in working,
                title=f"{name} is not hashing",
                text=f"For {duration(now - seen)}. Check its power, network and pool settings.",
                again=f"{name} is hashing again",
            )  # fmt: skip


def _in_state(status: Mapping[str, Any], *states: str) -> set[str]:
    """The workers that are `paused` (by a policy, `cores` or a signed signet) or have `left` (nodes told to end)."""
    return {worker["worker"] for worker in status["workers"] if worker.get("state") in states}
