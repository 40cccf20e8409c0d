"""An alert."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from solominer.config.alerts import AlertKind


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
