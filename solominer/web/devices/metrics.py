"""The devices as metrics. They are there whether the daemon runs or not: the web server asks by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from solominer.web.devices.device import Device, DeviceMonitor, DeviceState
from solominer.web.devices.reading import Reading

_Family = type[GaugeMetricFamily] | type[CounterMetricFamily]
_GAUGE, _COUNTER = GaugeMetricFamily, CounterMetricFamily
_SAID: tuple[tuple[_Family, str, str, Callable[[Reading], float | None]], ...] = (
    (_GAUGE, "hash_rate_hashes_per_second", "Hash rate that the device reports.", lambda each: each.rate_hps),
    (_GAUGE, "temperature_celsius", "Temperature of its chips.", lambda each: each.temp_c),
    (_GAUGE, "regulator_temperature_celsius", "Temperature of its voltage regulator.", lambda each: each.vr_temp_c),
    (_GAUGE, "power_watts", "Power that it draws.", lambda each: each.power_w),
    (_GAUGE, "best_difficulty", "Its best share since its start.", lambda each: each.best_session_difficulty),
    (_COUNTER, "shares", "Shares that its pool accepted since its start.", lambda each: each.shares_accepted),
    (_COUNTER, "rejected_shares", "Shares that its pool rejected since its start.", lambda each: each.shares_rejected),
)


class DeviceCollector(Collector):
    """The metrics of all devices; an offline one has only those that say so."""

    def __init__(self, monitor: DeviceMonitor) -> None:
        self._devices = monitor.devices

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples; none without devices."""
        if not self._devices:
            return
        states = [(each, each.state) for each in self._devices if each.state is not None]
        there = [(each, each.reading) for each, state in states if each.reading and state is not DeviceState.OFFLINE]
        up = ((each, state is not DeviceState.OFFLINE) for each, state in states)
        hot = ((each, state is DeviceState.HOT) for each, state in states)
        yield _metric(_GAUGE, "up", "1 unless the device is offline.", up)
        yield _metric(_GAUGE, "hot", "1 while the device is hot.", hot)
        for family, name, text, value in _SAID:
            yield _metric(family, name, text, ((device, value(reading)) for device, reading in there))


def _metric(family: _Family, name: str, text: str, samples: Iterable[tuple[Device, float | None]]) -> Metric:
    metric = family(f"solominer_device_{name}", text, labels=["device"])
    for device, value in samples:
        if value is not None:
            metric.add_metric([device.config.label], value)
    return metric
