"""The devices as metrics. They are there whether the daemon runs or not: the web server asks by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from solominer.web.devices.device import Device, DeviceMonitor, DeviceState
from solominer.web.devices.reading import Reading

_MEASURED: tuple[tuple[str, str, Callable[[Reading], float | None]], ...] = (
    ("hash_rate_hashes_per_second", "Hash rate that the device reports.", lambda each: each.rate_hps),
    ("temperature_celsius", "Temperature of its chips.", lambda each: each.temp_c),
    ("regulator_temperature_celsius", "Temperature of its voltage regulator.", lambda each: each.vr_temp_c),
    ("power_watts", "Power that it draws.", lambda each: each.power_w),
    ("best_difficulty", "Its best share since its start.", lambda each: each.best_session_difficulty),
)
_COUNTED: tuple[tuple[str, str, Callable[[Reading], float | None]], ...] = (
    ("shares", "Shares that its pool accepted since its start.", lambda each: each.shares_accepted),
    ("rejected_shares", "Shares that its pool rejected since its start.", lambda each: each.shares_rejected),
)


class DeviceCollector(Collector):
    """The metrics of all devices; an offline one has only those that say so."""

    def __init__(self, monitor: DeviceMonitor) -> None:
        self._devices = monitor.devices

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples; none without devices."""
        if not self._devices:
            return
        known = [each for each in self._devices if each.state is not None]
        present = [(each, each.reading) for each in known if each.reading and each.state is not DeviceState.OFFLINE]
        yield _gauge("up", "1 unless the device is offline.", known, lambda each: each.state is not DeviceState.OFFLINE)
        yield _gauge("hot", "1 while the device is hot.", known, lambda each: each.state is DeviceState.HOT)
        for name, text, value in _MEASURED:
            gauge = GaugeMetricFamily(f"solominer_device_{name}", text, labels=["device"])
            _fill(gauge, present, value)
            yield gauge
        for name, text, value in _COUNTED:
            counter = CounterMetricFamily(f"solominer_device_{name}", text, labels=["device"])
            _fill(counter, present, value)
            yield counter


def _gauge(name: str, text: str, devices: list[Device], value: Callable[[Device], bool]) -> Metric:
    family = GaugeMetricFamily(f"solominer_device_{name}", text, labels=["device"])
    for each in devices:
        family.add_metric([each.config.label], value(each))
    return family


def _fill(
    family: GaugeMetricFamily | CounterMetricFamily,
    devices: list[tuple[Device, Reading]],
    value: Callable[[Reading], float | None],
) -> None:
    for device, reading in devices:
        if (found := value(reading)) is not None:
            family.add_metric([device.config.label], found)
