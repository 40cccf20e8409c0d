"""All devices of this machine, whichever library runs them, and the kernels that each can have.

An NVIDIA card that OpenCL lists can be driven by CUDA too: there its variants have a second name, `cuda-...`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from solominer.engines.gpu import cuda, opencl
from solominer.engines.gpu.cuda import CudaProgram
from solominer.engines.gpu.device import Device, Program
from solominer.engines.gpu.opencl import OpenClProgram
from solominer.engines.gpu.variants import BY_CUDA, VARIANTS, VariantInfo, variant
from solominer.errors import EngineError


def devices(*, cpus: bool = False) -> list[Device]:
    """The cards of this machine; with `cpus` also CPUs that OpenCL offers as devices (PoCL), after the cards.

    Raises EngineError if neither OpenCL nor CUDA can be used, with what to install. An empty list: no card.
    """
    return [device for device, _ in _listing() if cpus or device.kind != "cpu"]


def _listing() -> list[tuple[Device, Any]]:
    """All devices with their handles, numbered; CPUs last, so that their absence changes no number."""
    by_cuda = cuda.list_devices()
    try:
        by_opencl = opencl.list_devices()
    except EngineError:
        if not by_cuda:
            raise
        by_opencl = []
    buses = {device.bus for device, _ in by_opencl}
    found = [*by_opencl, *((device, number) for device, number in by_cuda if device.bus not in buses)]
    found.sort(key=lambda entry: entry[0].kind == "cpu")
    return [(replace(device, index=index), handle) for index, (device, handle) in enumerate(found)]


def variant_names(device: Device) -> list[str]:
    """The names of the variants of this device, likely best first."""
    names = [info.name for info in VARIANTS]
    twin = device.backend == "opencl" and _twin(device) is not None
    return [*names, *(BY_CUDA + name for name in names)] if twin else names


def load_program(device: Device, name: str, cache_dir: Path | None) -> tuple[VariantInfo, Program]:
    """A variant, compiled for a device. Raises EngineError if there is no such device or variant, or it fails."""
    if name not in variant_names(device):
        choices = ", ".join(variant_names(device))
        raise EngineError(f"kernel {name}: there is no such kernel on {device.name}", f"choose one of: {choices}")
    info = variant(name)
    return info, compile_for(device, info, cache_dir, by_cuda=name.startswith(BY_CUDA))


def compile_for(device: Device, info: VariantInfo, cache_dir: Path | None, *, by_cuda: bool = False) -> Program:
    """Any variant for a device; `by_cuda`: through CUDA though OpenCL listed it. Raises EngineError if it fails."""
    if by_cuda:
        return CudaProgram(_twin(device) or 0, info, cache_dir)
    handle = next((handle for each, handle in _listing() if each == device), None)
    if handle is None:
        raise EngineError(f"{device.name} is no longer there", "`solominer gpu list` shows the devices")
    if device.backend == "cuda":
        return CudaProgram(handle, info, cache_dir)
    return OpenClProgram(device, handle, info, cache_dir)


def _twin(device: Device) -> int | None:
    """CUDA's number of a card that OpenCL listed."""
    return next((number for each, number in cuda.list_devices() if device.bus and each.bus == device.bus), None)
