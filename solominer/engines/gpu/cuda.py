"""Kernels through CUDA's driver library alone (libcuda.so.1, part of the driver): no toolkit, no binding."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solominer.engines.gpu.device import MAX_CHUNKS, SLOTS, Arguments, Device
from solominer.engines.gpu.nvrtc import machine_code
from solominer.engines.gpu.source import CUDA, ROOM, Source, write
from solominer.engines.gpu.variants import MIDSTATES, VariantInfo
from solominer.errors import EngineError

_NOT_READY = 600
_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _PCI_BUS, _PCI_DEVICE, _PCI_DOMAIN = 75, 76, 33, 34, 50
_HITS_BYTES = 4 * (1 + 2 * ROOM)


class Driver:
    """Calls into the driver library."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: Any) -> None:
        """Raises EngineError with CUDA's name of the error unless the call succeeds."""
        status = self.status(name, *arguments)
        if status:
            raise self.error(name, status)

    def status(self, name: str, *arguments: Any) -> int:
        """The call's result code."""
        return int(getattr(self._library, name)(*arguments))

    def error(self, name: str, status: int) -> EngineError:
        """What a result code means."""
        text = ctypes.c_char_p()
        self._library.cuGetErrorName(status, ctypes.byref(text))
        meaning = (text.value or b"unknown error").decode(errors="replace")
        todo = "the card may be gone, hung or out of memory: see nvidia-smi and the kernel's log (dmesg), then restart"
        return EngineError(f"CUDA failed: {meaning} ({status}) from {name}", todo)

    def number(self, name: str, *arguments: Any) -> int:
        """The int that a call writes to its first argument."""
        value = ctypes.c_int()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value


@cache
def driver() -> Driver | None:
    """The driver library; None where there is none, or no card behind it."""
    try:
        return Driver(ctypes.CDLL("libcuda.so.1"))
    except (OSError, EngineError):
        return None


def list_devices() -> list[tuple[Device, int]]:
    """All cards with CUDA's number of each."""
    cuda = driver()
    if cuda is None:
        return []
    version = cuda.number("cuDriverGetVersion")
    return [
        (_described(cuda, number, f"CUDA {version // 1000}.{version % 1000 // 10}"), number)
        for number in range(cuda.number("cuDeviceGetCount"))
    ]


def _described(cuda: Driver, number: int, version: str) -> Device:
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    cuda.call("cuDeviceGetName", name, 256, number)
    cuda.call("cuDeviceTotalMem_v2", ctypes.byref(memory), number)
    domain, bus, slot = (
        cuda.number("cuDeviceGetAttribute", which, number) for which in (_PCI_DOMAIN, _PCI_BUS, _PCI_DEVICE)
    )
    text = name.value.decode(errors="replace").strip()
    return Device(0, text, version, memory.value, "gpu", "cuda", f"{domain:04x}:{bus:02x}:{slot:02x}.0")


class CudaProgram:
    """A `Program` on one CUDA device; every slot has a stream of its own."""

    def __init__(self, number: int, info: VariantInfo, cache_dir: Path | None, cuda: Driver | None = None) -> None:
        found = cuda or driver()
        if found is None:
            raise EngineError("NVIDIA's driver library (libcuda.so.1) is gone", "reinstall the card's driver")
        self._cuda = found
        self.source: Source = write(info, CUDA)
        major, minor = (
            found.number("cuDeviceGetAttribute", which, number) for which in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR)
        )
        code = machine_code(self.source.text, 10 * major + minor, cache_dir)
        self._number = number
        self._context = ctypes.c_void_p()
        found.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), number)
        found.call("cuCtxSetCurrent", self._context)
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        found.call("cuModuleLoadData", ctypes.byref(module), code)
        found.call("cuModuleGetFunction", ctypes.byref(function), module, b"search")
        self._slots = [_Slot(found, function, info) for _ in range(SLOTS)]

    def start(self, slot: int, arguments: Arguments) -> None:
        self._cuda.call("cuCtxSetCurrent", self._context)
        self._slots[slot].start(arguments)

    def finished(self, slot: int) -> bool:
        status = self._cuda.status("cuEventQuery", self._slots[slot].event)
        if status not in (0, _NOT_READY):
            raise self._cuda.error("cuEventQuery", status)
        return status == 0

    def result(self, slot: int) -> NDArray[np.uint32]:
        return self._slots[slot].hits

    def close(self) -> None:
        """Releasing the context frees all that was allocated in it, also on a card that has failed."""
        self._slots.clear()
        self._cuda.status("cuDevicePrimaryCtxRelease_v2", self._number)


class _Slot:
    """One stream with its buffers. The hits are in pinned memory: a copy to any other blocks."""

    def __init__(self, cuda: Driver, function: ctypes.c_void_p, info: VariantInfo) -> None:
        self._cuda, self._function, self._info = cuda, function, info
        self._stream, self.event = ctypes.c_void_p(), ctypes.c_void_p()
        self._chunks_at, self._hits_at = ctypes.c_uint64(), ctypes.c_uint64()
        pinned = ctypes.c_void_p()
        cuda.call("cuStreamCreate", ctypes.byref(self._stream), 1)  # does not wait for the default stream
        cuda.call("cuEventCreate", ctypes.byref(self.event), 2)  # without times
        cuda.call("cuMemAlloc_v2", ctypes.byref(self._chunks_at), ctypes.c_size_t(4 * MAX_CHUNKS))
        cuda.call("cuMemAlloc_v2", ctypes.byref(self._hits_at), ctypes.c_size_t(_HITS_BYTES))
        cuda.call("cuMemHostAlloc", ctypes.byref(pinned), ctypes.c_size_t(_HITS_BYTES), 0)
        words = ctypes.cast(pinned, ctypes.POINTER(ctypes.c_uint32))
        self.hits: NDArray[np.uint32] = np.ctypeslib.as_array(words, (_HITS_BYTES // 4,))

    def start(self, arguments: Arguments) -> None:
        call, stream, chunks = self._cuda.call, self._stream, arguments.chunks
        size = ctypes.c_size_t(chunks.nbytes)
        call("cuMemcpyHtoDAsync_v2", self._chunks_at, ctypes.c_void_p(chunks.ctypes.data), size, stream)
        call("cuMemsetD32Async", self._hits_at, 0, ctypes.c_size_t(1), stream)
        values: list[Any] = [self._chunks_at, self._hits_at]
        if self._info.shared:
            words = np.zeros(MIDSTATES * arguments.midstate.shape[1] + 1, np.uint32)
            words[: arguments.midstate.size] = arguments.midstate.ravel()
            values += [(ctypes.c_uint32 * len(words))(*words.tolist()), ctypes.c_uint32(len(arguments.midstate))]
        values += [ctypes.c_uint32(word) for word in (arguments.target_word, 1, *arguments.job.tolist())]
        places = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        grid = arguments.chunk_nonces // self._info.local, len(chunks), 1
        call("cuLaunchKernel", self._function, *grid, self._info.local, 1, 1, 0, stream, places, None)
        hits = ctypes.c_void_p(self.hits.ctypes.data)
        call("cuMemcpyDtoHAsync_v2", hits, self._hits_at, ctypes.c_size_t(_HITS_BYTES), stream)
        call("cuEventRecord", self.event, stream)
