"""The throttle: pauses for temperature, CPU load, battery or user activity. `ThrottleRules` is pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from solominer.config.steering import ThrottleConfig

COOLER_BY_C = 5.0
LIGHTER_BY = 0.8

HOT, BUSY, BATTERY, USER = ("temperature", "CPU busy", "on battery", "user active")


@dataclass(frozen=True, slots=True)
class SensorReadings:
    """Sensor readings; None if unavailable. `other_load` in cores, `idle_secs` since the last user input."""

    temperature_c: float | None = None
    other_load: float | None = None
    on_battery: bool | None = None
    idle_secs: float | None = None


@dataclass(slots=True)
class ThrottleRules:
    """The reasons in force. A pause begins at once; it ends when its reason has been gone for `resume_after_secs`.

    Temperature and load must fall clearly below their limits to count as gone: the pause itself cools the machine.
    """

    settings: ThrottleConfig
    _since_calm: dict[str, float] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    def update(self, mono: float, readings: SensorReadings) -> frozenset[str]:
        """Process readings at `mono` (monotonic seconds); returns the reasons now in force."""
        wait_secs = self.settings.resume_after_secs
        for reason, (over, calm) in self._conditions(readings).items():
            if over:
                self.paused.add(reason)
            if over or not calm:
                self._since_calm.pop(reason, None)
            elif reason in self.paused and mono - self._since_calm.setdefault(reason, mono) >= wait_secs:
                self.paused.discard(reason)
                del self._since_calm[reason]
        return frozenset(self.paused)

    def _conditions(self, readings: SensorReadings) -> Mapping[str, tuple[bool, bool]]:
        """For each reason: whether it applies, and whether it is clearly gone. Unavailable readings count as gone."""
        settings = self.settings
        return {
            HOT: _bounded(readings.temperature_c, settings.max_temperature_c, COOLER_BY_C),
            BUSY: _bounded(
                readings.other_load, settings.max_other_load, (1 - LIGHTER_BY) * (settings.max_other_load or 0.0)
            ),
            BATTERY: (settings.pause_on_battery and bool(readings.on_battery), not readings.on_battery),
            USER: _active(readings.idle_secs, settings.pause_while_active_secs),
        }


def _bounded(value: float | None, bound: float | None, margin: float) -> tuple[bool, bool]:
    if value is None or bound is None:
        return False, True
    return value > bound, value <= bound - margin


def _active(idle_secs: float | None, bound: float | None) -> tuple[bool, bool]:
    if idle_secs is None or bound is None:
        return False, True
    return idle_secs < bound, idle_secs >= bound


class Sensors:
    """Reads the sensors with psutil."""

    def __init__(self) -> None:
        self._last: tuple[float, float, dict[int, float]] | None = None

    def read(self) -> SensorReadings:
        """All readings now."""
        return SensorReadings(self.temperature_c(), self.other_load(), self.on_battery(), idle_secs(time.time()))

    def temperature_c(self) -> float | None:
        """The hottest sensor, or None if there is none."""
        reader = getattr(psutil, "sensors_temperatures", None)
        try:
            groups = reader() if reader is not None else {}
        except OSError:
            return None
        values = [entry.current for entries in groups.values() for entry in entries if entry.current]
        return max(values, default=None)

    def on_battery(self) -> bool | None:
        """Whether the machine runs on battery; None if it has none."""
        reader = getattr(psutil, "sensors_battery", None)
        battery = reader() if reader is not None else None
        return None if battery is None or battery.power_plugged is None else not battery.power_plugged

    def other_load(self) -> float | None:
        """Average cores used by other programs since the last call; None at the first call."""
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
        now, ours = time.monotonic(), _our_cpu_secs()
        last, self._last = self._last, (now, busy, ours)
        if last is None or now <= last[0]:
            return None
        # A worker that started meanwhile counts from its start; one that ended took its seconds with it.
        own = sum(secs - last[2].get(pid, 0.0) for pid, secs in ours.items())
        return max(0.0, (busy - last[1] - own) / (now - last[0]))


def _our_cpu_secs() -> dict[int, float]:
    """CPU seconds of this process and its children, by pid."""
    this = psutil.Process()
    used: dict[int, float] = {}
    for process in (this, *this.children(recursive=True)):
        try:
            times = process.cpu_times()
        except (psutil.Error, OSError):  # it has just ended
            continue
        used[process.pid] = times.user + times.system
    return used


def idle_secs(now: float) -> float | None:
    """Seconds since the last input at a terminal of this machine; None if nobody is logged in.

    From the terminals' access times, as in `w`.
    """
    ages = []
    for user in psutil.users():
        path = Path("/dev") / (user.terminal or "")
        try:
            if user.terminal and path.is_char_device():
                ages.append(now - path.stat().st_atime)
        except OSError:
            continue
    return max(0.0, min(ages)) if ages else None
