"""Which alerts follow from the states of the device monitor. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from solominer.views.text import duration
from solominer.web.alerts.conditions import Conditions
from solominer.web.alerts.state import Alert
from solominer.web.devices.device import Device, DeviceState
from solominer.work.instant import Instant

MONITORED = "monitored/"
"""Begins the keys of these conditions, which no worker's name does."""

HOT_READINGS = 1.5
"""A device must be hot in two readings in a row: for so many intervals."""

_STATES = (DeviceState.OFFLINE, DeviceState.HOT, DeviceState.IDLE)


class DeviceRules:
    """Devices that are offline, hot or not hashing. Conditions of devices that are not monitored any more are dropped.

    `idle_secs`: how long a device may be idle. `interval_secs`: of the monitor.
    """

    def __init__(
        self, devices: Sequence[Device], conditions: Conditions, *, idle_secs: float, interval_secs: float
    ) -> None:
        self._devices, self._conditions = devices, conditions
        self._secs = (0.0, HOT_READINGS * interval_secs, idle_secs)
        known = {f"device/{_key(device, state)}" for device in devices for state in _STATES}
        for key in conditions.raised:
            if key.startswith(f"device/{MONITORED}") and key not in known:
                conditions.forget(key)

    def alerts(self, now: Instant, *, working: bool) -> Iterator[Alert]:
        """The alerts at this moment. While the daemon has no work (`working`), idle devices are to be expected.

        A state says nothing about those behind it: what is offline may be hot, what is hot need not hash.
        """
        for device in self._devices:
            if device.state is None:
                continue
            for state, after_secs in zip(_STATES, self._secs, strict=True):
                bad = device.state is state
                if bad and state is DeviceState.IDLE and not working:
                    break
                title, text, again = self._words(device, state)
                yield from self._conditions.alerts(
                    "device", _key(device, state), now, after_secs, bad=bad, title=title, text=text, again=again
                )
                if bad:
                    break

    def _words(self, device: Device, state: DeviceState) -> tuple[str, str, str]:
        """Title and text of the alert, and title of the recovery."""
        name, said = device.config.label, device.reading
        if state is DeviceState.OFFLINE:
            return f"{name} is offline", f"{device.problem[:1].upper()}{device.problem[1:]}.", f"{name} answers again"
        if state is DeviceState.HOT:
            found = "" if said is None or said.temp_c is None else f": {said.temp_c:.0f} °C"
            return f"{name} is hot{found}", "Check its fan and the air around it.", f"{name} has cooled down{found}"
        text = f"For {duration(self._secs[2])}. Check its pool settings and its frequency."
        return f"{name} answers, but does not hash", text, f"{name} hashes again"


def _key(device: Device, state: DeviceState) -> str:
    return f"{MONITORED}{device.config.label}/{state}"
