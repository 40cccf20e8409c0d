"""Kernels through OpenCL (pyopencl): cards of AMD, Intel and NVIDIA, and PoCL on a CPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solominer.engines.gpu.device import MAX_CHUNKS, SLOTS, Arguments, Device
from solominer.engines.gpu.kept_code import kept_code
from solominer.engines.gpu.source import OPENCL, ROOM, Source, write
from solominer.engines.gpu.variants import MIDSTATES, VariantInfo
from solominer.errors import EngineError


def opencl() -> ModuleType:
    """pyopencl, without its caches. Raises EngineError if it is missing or cannot be loaded.

    They are pickles in the home folder, which may be read-only, and a killed process leaves them locked.
    """
    os.environ.setdefault("PYOPENCL_NO_CACHE", "1")
    try:
        import pyopencl
    except ImportError as error:
        raise EngineError(
            f"graphics cards need pyopencl: {error}", "pip install 'solominer[gpu]', or mine without --gpu"
        ) from None
    return pyopencl


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """OpenCL's errors as EngineError."""
    try:
        yield
    except opencl().Error as error:
        todo = "the device may be gone, hung or out of memory: see the kernel's log (dmesg), then restart"
        raise EngineError(f"{what}: {error}", todo) from error


def list_devices() -> list[tuple[Device, Any]]:
    """All devices of all platforms with pyopencl's object, numbered from 0. Raises EngineError without a loader."""
    cl = opencl()
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        raise EngineError(
            f"OpenCL finds no platform: {error}",
            "install the card's driver with its OpenCL part; `clinfo` lists what the system offers",
        ) from None
    found: list[tuple[Device, Any]] = []
    for platform in platforms:
        try:
            handles = platform.get_devices()
        except cl.Error:  # a platform whose last device is gone
            continue
        found += [(_described(cl, handle), handle) for handle in handles if handle.available]
    return found


def _described(cl: ModuleType, handle: Any) -> Device:
    kinds = {cl.device_type.GPU: "gpu", cl.device_type.ACCELERATOR: "accelerator"}
    kind = next((name for bit, name in kinds.items() if handle.type & bit), "cpu")
    driver = f"{handle.platform.name.strip()} {handle.driver_version.strip()}"
    return Device(0, handle.name.strip(), driver, handle.global_mem_size, kind, "opencl", _bus(cl, handle))


def _bus(cl: ModuleType, handle: Any) -> str:
    """The PCI address, by the extensions of NVIDIA and AMD."""
    try:
        slot = handle.pci_slot_id_nv
        return f"{handle.pci_domain_id_nv:04x}:{handle.pci_bus_id_nv:02x}:{slot >> 3:02x}.{slot & 7}"
    except (cl.Error, AttributeError):
        pass
    try:
        place = handle.topology_amd
        return f"0000:{place.bus & 0xFF:02x}:{place.device:02x}.{place.function}"
    except (cl.Error, AttributeError):
        return ""


class OpenClProgram:
    """A `Program` on one OpenCL device; every slot has a queue of its own."""

    def __init__(self, device: Device, handle: Any, info: VariantInfo, cache_dir: Path | None) -> None:
        cl = self._cl = opencl()
        self.source: Source = write(info, OPENCL)
        self._info = info
        if info.local > handle.max_work_group_size:
            raise EngineError(
                f"kernel {info.name}: groups of {info.local} are too large for {device.name}", "choose one of less"
            )
        with _failures(f"cannot compile kernel {info.name} for {device.name}"), warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)
            context = cl.Context([handle])
            built = self._built(context, handle, device.key, cache_dir)
            self._slots = [_Slot(cl, context, built) for _ in range(SLOTS)]

    def _built(self, context: Any, handle: Any, key: str, cache_dir: Path | None) -> Any:
        from pyopencl.characterize import has_src_build_cache

        cl, text = self._cl, self.source.text
        if has_src_build_cache(handle):  # the driver keeps what it has compiled
            return cl.Program(context, text).build()

        def compile_it() -> bytes:
            return bytes(cl.Program(context, text).build().get_info(cl.program_info.BINARIES)[0])

        try:
            return cl.Program(context, [handle], [kept_code(cache_dir, text, key, compile_it)]).build()
        except cl.Error:  # a damaged file, or a driver that does not take its own code back
            kept_code(cache_dir, text, key, compile_it, fresh=True)
            return cl.Program(context, text).build()

    def start(self, slot: int, arguments: Arguments) -> None:
        with _failures("cannot start work on the card"):
            self._slots[slot].start(self._info, arguments)

    def finished(self, slot: int) -> bool:
        with _failures("the card failed"):
            status = self._slots[slot].read.command_execution_status
        if status < 0:
            raise EngineError(f"the card failed: OpenCL status {status}", "see the kernel's log (dmesg), then restart")
        return bool(status == self._cl.command_execution_status.COMPLETE)

    def result(self, slot: int) -> NDArray[np.uint32]:
        return self._slots[slot].hits

    def close(self) -> None:
        self._slots.clear()


class _Slot:
    """One queue with its buffers."""

    def __init__(self, cl: Any, context: Any, built: Any) -> None:
        flags = cl.mem_flags
        self._cl = cl
        self._queue = cl.CommandQueue(context)
        self._kernel = cl.Kernel(built, "search")
        self._chunks_at = cl.Buffer(context, flags.READ_ONLY, 4 * MAX_CHUNKS)
        self._words_at = cl.Buffer(context, flags.READ_ONLY, 4 * 64 * MIDSTATES)
        self._hits_at = cl.Buffer(context, flags.READ_WRITE, 4 * (1 + 2 * ROOM))
        # Pinned: NVIDIA's driver blocks in a copy to any other memory, whatever it is told.
        self._pinned = cl.Buffer(context, flags.READ_WRITE | flags.ALLOC_HOST_PTR, 4 * (1 + 2 * ROOM))
        access, shape = cl.map_flags.READ | cl.map_flags.WRITE, (1 + 2 * ROOM,)
        self.hits: NDArray[np.uint32]
        self.hits, _ = cl.enqueue_map_buffer(self._queue, self._pinned, access, 0, shape, np.uint32)
        self._sent: list[Any] = []  # arrays that are still being copied, with their events
        self.read: Any = None

    def start(self, info: VariantInfo, arguments: Arguments) -> None:
        cl, queue = self._cl, self._queue
        copies = [(self._chunks_at, arguments.chunks)]
        shared = []
        if info.shared:
            copies.append((self._words_at, arguments.midstate))
            shared = [self._words_at, np.uint32(len(arguments.midstate))]
        self._sent = [cl.enqueue_copy(queue, to, array, is_blocking=False) for to, array in copies]
        cl.enqueue_fill_buffer(queue, self._hits_at, np.uint32(0), 0, 4)
        words = [np.uint32(arguments.target_word), np.uint32(1), *arguments.job]
        self._kernel.set_args(self._chunks_at, self._hits_at, *shared, *words)
        size = (arguments.chunk_nonces, len(arguments.chunks))
        cl.enqueue_nd_range_kernel(queue, self._kernel, size, (info.local, 1))
        self.read = cl.enqueue_copy(queue, self.hits, self._hits_at, is_blocking=False)
        queue.flush()
