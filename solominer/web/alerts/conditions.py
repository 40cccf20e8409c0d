"""States that last: each is reported once when it has lasted for a while, and once when it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from solominer.config.alerts import AlertKind
from solominer.web.alerts.state import Alert
from solominer.work.instant import Instant

RECOVERY_SECS = 30.0
"""How long a state must be good again before that is reported."""


@dataclass(slots=True)
class _Condition:
    """`since`: when it last was as reported, monotonic. `raised_at`: Unix seconds; None while it is not reported."""

    since_mono: float
    raised_at: float | None = None


class Conditions:
    """Conditions by key. `raised` are those of an earlier run that had been reported, with their time."""

    def __init__(self, raised: Mapping[str, float], now: Instant) -> None:
        self._known = {key: _Condition(now.mono, at) for key, at in raised.items()}

    def see(self, key: str, now: Instant, *, bad: bool, after_secs: float) -> bool | None:
        """True: report that it is bad, as it has been for `after_secs`. False: report that it is good again."""
        condition = self._known.get(key)
        if condition is None:
            if not bad:
                return None
            condition = self._known[key] = _Condition(now.mono)
        if bad is (condition.raised_at is not None):
            condition.since_mono = now.mono
            if not bad:
                del self._known[key]
            return None
        if now.mono - condition.since_mono < (after_secs if bad else RECOVERY_SECS):
            return None
        if bad:
            condition.raised_at, condition.since_mono = now.wall, now.mono
        else:
            del self._known[key]
        return bad

    def alerts(
        self, kind: AlertKind, key: str, now: Instant, after_secs: float, *,
        bad: bool, title: str, text: str, again: str, priority: int = 4,
    ) -> Iterator[Alert]:  # fmt: skip
        """As `see`, as an alert: with `title` and `text` when it is bad, with the title `again` when it is good."""
        report = self.see(f"{kind}/{key}", now, bad=bad, after_secs=after_secs)
        if report is not None:
            yield (
                Alert(kind, key, now.wall, title, text, priority)
                if report
                else Alert(kind, key, now.wall, again, priority=3, recovered=True)
            )

    def forget(self, key: str) -> None:
        """Drop a key whose subject no longer exists."""
        self._known.pop(key, None)

    @property
    def raised(self) -> dict[str, float]:
        """Conditions that were reported and have not ended, with the time of the report."""
        return {key: each.raised_at for key, each in self._known.items() if each.raised_at is not None}
