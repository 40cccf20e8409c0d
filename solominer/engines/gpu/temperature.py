"""A card's temperature, and the ceiling above which its worker pauses. Clocks, voltages and fans are left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from solominer.engines.gpu.kernel import Device

RESUME_BELOW_C = 5.0
PCI = Path("/sys/bus/pci/devices")

Thermometer = Callable[[], float | None]
"""The temperature in °C, or None if it cannot be read now."""


class Ceiling:
    """Whether to pause: from above `max_c` until 5 °C below it. Without a ceiling or a reading, never."""

    def __init__(self, max_c: float | None) -> None:
        self.hot = False
        self._max_c = max_c

    def saw(self, celsius: float | None) -> bool:
        """A reading; returns whether `hot` has changed."""
        before = self.hot
        if self._max_c is None or celsius is None:
            self.hot = False
        elif celsius > self._max_c:
            self.hot = True
        elif celsius <= self._max_c - RESUME_BELOW_C:
            self.hot = False
        return self.hot != before


def thermometer(device: Device) -> Thermometer | None:
    """The device's thermometer: NVIDIA's library, or the Linux kernel's (amdgpu, i915, xe). None if there is none."""
    return _of_kernel(device) or _of_nvidia(device)


def _of_kernel(device: Device) -> Thermometer | None:
    file = next(_inputs(PCI / device.bus), None) if device.bus else None

    def read() -> float | None:
        with suppress(OSError, ValueError):
            return int(file.read_text()) / 1000 if file else None
        return None

    return read if read() is not None else None


def _inputs(folder: Path) -> Iterator[Path]:
    """The hottest spot first (`junction`, which is what the maker limits), then the edge."""
    for label in ("junction", "edge", ""):
        for file in sorted(folder.glob("hwmon/hwmon*/temp*_input")):
            with suppress(OSError):
                name = file.with_name(file.name.replace("_input", "_label"))
                if not label or name.read_text().strip() == label:
                    yield file


def _of_nvidia(device: Device) -> Thermometer | None:
    try:
        import pynvml as nvml
    except ImportError:
        return None

    def read() -> float | None:
        with suppress(nvml.NVMLError):
            return float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        return None

    with suppress(nvml.NVMLError):
        nvml.nvmlInit()
        if device.bus:
            handle = nvml.nvmlDeviceGetHandleByPciBusId(device.bus.encode())
            return read if read() is not None else None
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        same = [handle for handle in handles if _text(nvml.nvmlDeviceGetName(handle)) == device.name]
        if len(same) == 1:  # with several of a name it would be a guess
            handle = same[0]
            return read if read() is not None else None
    return None


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
