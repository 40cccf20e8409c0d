"""Alerts, and what is remembered over restarts: how far the ledger was read, what was reported, what is to be sent."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from solominer.config.alerts import AlertKind
from solominer.errors import BadValue
from solominer.records.formats import decode_file
from solominer.records.tree import atomic_write


@dataclass(frozen=True, slots=True)
class Alert:
    """One message. `key` identifies what it is about, so that a recovery names the same; `at` is in Unix seconds.

    `priority` is 1 (lowest) to 5. `fields` are for programs. Texts hold no secrets and say what to do.
    """

    kind: AlertKind
    key: str
    at: float
    title: str
    text: str = ""
    priority: int = 3
    recovered: bool = False
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same for the same alert, so that a receiver can recognise a repetition."""
        return f"{self.kind}:{self.key}:{'recovered' if self.recovered else 'raised'}:{self.at:.3f}"


FILE = "web-alerts.json"
FORMAT = "solominer-web-alerts/1"
MOST_QUEUED, MOST_SENT = 500, 100
_MODE = 0o600
_MOST_BYTES = 4 << 20

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Queued:
    """An alert that one destination has not taken yet. `next_at` and `first_at` are Unix seconds."""

    to: str
    alert: Alert
    first_at: float
    next_at: float
    attempts: int = 0


@dataclass(slots=True)
class AlertState:
    """Everything in the file. `seq` is the last line of the ledger that was read, `seq_at` its time; -1 before any."""

    format: str = FORMAT
    seq: int = -1
    seq_at: float = 0.0
    best_difficulty: float = 0.0
    nbits: str = ""
    alarms_until: float = 0.0
    alarms_sent: dict[str, float] = field(default_factory=dict)
    raised: dict[str, float] = field(default_factory=dict)
    muted_until: float = 0.0
    digests: dict[str, str] = field(default_factory=dict)
    queue: list[Queued] = field(default_factory=list)
    recent: list[Alert] = field(default_factory=list)


class StateFile:
    """The file in the network's folder, readable by this user alone. A file that cannot be used is begun anew."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._saved = b""
        self._failing = False

    def load(self) -> AlertState | None:
        """The saved state; None if there is none that can be used, which is logged."""
        try:
            with self._path.open("rb") as file:
                data = file.read(_MOST_BYTES)
            return decode_file(data, AlertState, FORMAT)
        except FileNotFoundError:
            return None
        except (OSError, BadValue) as error:
            log.warning("alerts begin anew, %s cannot be used: %s", self._path.name, error)
            return None

    def save(self, state: AlertState) -> None:
        """Write it if it has changed. That it cannot be written is logged once."""
        data = msgspec.json.encode(asdict(state))
        if data == self._saved:
            return
        try:
            atomic_write(self._path, data, durable=True, mode=_MODE)
        except OSError as error:
            if not self._failing:
                log.warning("alerts may be repeated after a restart: %s", error)
            self._failing = True
        else:
            self._saved, self._failing = data, False


def public(alert: Alert) -> dict[str, Any]:
    """An alert as JSON values. `id` is the same when it is sent again."""
    return {"id": alert.id, **asdict(alert)}
