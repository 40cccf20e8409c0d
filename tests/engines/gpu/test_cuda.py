"""What is said to CUDA's driver library, by a library that keeps the books of memory and answers for the card.

No card runs here. The stand-in checks that each copy stays within its buffer, that the kernel gets the arguments that
its signature names, in their order and size, and that a launch is waited for as CUDA demands.
"""

from __future__ import annotations

import ctypes
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solominer.engines.cpu.reference import GENESIS, midstate, tail_words
from solominer.engines.gpu import cuda, nvrtc
from solominer.engines.gpu.cuda import CudaProgram, Driver
from solominer.engines.gpu.kernel import Batch, GpuKernel
from solominer.engines.gpu.variants import VARIANTS, VariantInfo
from solominer.errors import EngineError

INVALID_VALUE, NOT_READY, LAUNCH_FAILED = 1, 600, 719
NONCE = int.from_bytes(GENESIS[76:], "little")
SHARED = next(info for info in VARIANTS if info.name == "shared-multiplied-64")
PLAIN = next(info for info in VARIANTS if info.name == "plain-added-64")
ATTRIBUTES = {75: 9, 76: 0, 33: 0x65, 34: 0, 50: 0}


def _value(place: Any) -> int:
    """An argument as a number: a ctypes object, or a Python int."""
    return int((place.value if hasattr(place, "value") else place) or 0)


class FakeLibrary:
    """libcuda.so.1 with one card, on which each launch finds `finds`."""

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.launches: list[list[bytes]] = []
        self.sizes: list[int] = []
        self.finds = [(0, NONCE)]
        self.polls = 2  # queries that answer "not ready" after each launch
        self.fails = 0
        self.code = b""
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        return lambda *arguments: 0  # every other call succeeds

    def _allocate(self, where: Any, size: Any) -> int:
        room = ctypes.create_string_buffer(_value(size))
        self.memory[ctypes.addressof(room)] = room
        where._obj.value = ctypes.addressof(room)
        return 0

    def _copy(self, to: Any, source: Any, size: Any) -> int:
        for place in (_value(to), _value(source)):
            if place in self.memory and len(self.memory[place]) < _value(size):
                return INVALID_VALUE
        ctypes.memmove(_value(to), _value(source), _value(size))
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = 1
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 12090
        return 0

    def cuDeviceGetName(self, name: Any, size: int, number: int) -> int:  # noqa: N802
        name.value = b"NVIDIA Test 100"
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, number: int) -> int:  # noqa: N802
        memory._obj.value = 80 << 30
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, number: int) -> int:  # noqa: N802
        value._obj.value = ATTRIBUTES[which]
        return 0

    def cuModuleLoadData(self, module: Any, code: bytes) -> int:  # noqa: N802
        self.code = code
        return 0

    def cuMemAlloc_v2(self, where: Any, size: Any) -> int:  # noqa: N802
        return self._allocate(where, size)

    def cuMemHostAlloc(self, where: Any, size: Any, flags: int) -> int:  # noqa: N802
        return self._allocate(where, size)

    def cuMemcpyHtoDAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:  # noqa: N802
        return self._copy(to, source, size)

    def cuMemcpyDtoHAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:  # noqa: N802
        return self._copy(to, source, size)

    def cuMemsetD32Async(self, place: Any, word: int, count: Any, stream: Any) -> int:  # noqa: N802
        ctypes.memset(_value(place), word, 4 * _value(count))
        return 0

    def cuLaunchKernel(self, function: Any, *rest: Any) -> int:  # noqa: N802
        x, y, z, local_x, local_y, local_z, shared_bytes, _stream, places, _extra = rest
        assert (z, local_y, local_z, shared_bytes) == (1, 1, 1, 0)
        self.launches.append([ctypes.string_at(place, size) for place, size in zip(places, self.sizes, strict=True)])
        self.grid = x, y, local_x
        hits = (ctypes.c_uint32 * (1 + 2 * len(self.finds))).from_address(
            int.from_bytes(self.launches[-1][1], "little")
        )
        hits[0] += len(self.finds)
        hits[1:] = [word for hit in self.finds for word in hit]
        self.left = self.polls
        return LAUNCH_FAILED if self.fails else 0

    def cuEventQuery(self, event: Any) -> int:  # noqa: N802
        self.left -= 1
        return NOT_READY if self.left >= 0 else self.fails

    def cuGetErrorName(self, status: int, text: Any) -> int:  # noqa: N802
        text._obj.value = b"CUDA_ERROR_LAUNCH_FAILED"
        return 0


def argument_sizes(text: str) -> list[int]:
    """The bytes of each argument, from the kernel's signature."""
    (signature,) = re.findall(r"search\((.*?)\) \{", text, re.DOTALL)
    (words,) = re.findall(r"#define WORDS (\d+)", text)
    return [
        8 if "*" in argument else 4 * (32 * int(words) + 1) if "Prepared" in argument else 4
        for argument in signature.split(",")
    ]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """The stand-in; what it runs is not compiled."""
    monkeypatch.setattr(cuda, "machine_code", lambda text, capability, cache_dir: f"sm_{capability}".encode())
    return FakeLibrary()


def kernel(library: FakeLibrary, info: VariantInfo) -> GpuKernel:
    program = CudaProgram(0, info, None, Driver(library))
    library.sizes = argument_sizes(program.source.text)
    return GpuKernel(info, program.source, program, info.name)


def batch(count: int = 1, chunks: int = 1) -> Batch:
    midstates = np.repeat(midstate(GENESIS[:64]).reshape(1, 8), count, axis=0)
    starts = np.arange(chunks, dtype=np.uint32) * 128
    return Batch(midstates, tail_words(GENESIS), starts, 128, 7)


@pytest.mark.parametrize(("info", "count"), [(SHARED, 32), (SHARED, 3), (PLAIN, 1)])
def test_a_launch_gets_its_arguments_and_gives_its_hits(library: FakeLibrary, info: VariantInfo, count: int) -> None:
    this = kernel(library, info)
    assert library.code == b"sm_90"
    library.finds = [(2, 9), (1, 9), (0, 5)]
    work = batch(count, chunks=4)
    assert this.launch(work).hits().tolist() == [[0, 5], [1, 9], [2, 9]]
    assert library.grid == (2, 4, 64)
    (arguments,) = library.launches
    chunks = ctypes.string_at(int.from_bytes(arguments[0], "little"), 16)
    assert np.frombuffer(chunks, np.uint32).tolist() == work.chunks.tolist()
    job, words = this.program.source.prepare(work.midstates, work.tail)
    scalars = [int.from_bytes(argument, "little") for argument in arguments[2:] if len(argument) == 4]
    assert scalars == [*([count] if info.shared else []), 7, 1, *job.tolist()]
    if info.shared:
        assert np.frombuffer(arguments[2], np.uint32)[: words.size].tolist() == words.ravel().tolist()


def test_hits_of_the_launch_before_are_not_counted_again(library: FakeLibrary) -> None:
    this = kernel(library, PLAIN)
    for _ in range(5):
        assert this.launch(batch()).hits().tolist() == [[0, NONCE]]


def test_a_launch_is_not_done_before_its_event(library: FakeLibrary) -> None:
    launch = kernel(library, PLAIN).launch(batch())
    assert [launch.done for _ in range(3)] == [False, False, True]


def test_a_failure_is_named_and_closing_is_safe(library: FakeLibrary) -> None:
    this = kernel(library, PLAIN)
    launch = this.launch(batch())
    library.fails, library.left = LAUNCH_FAILED, 0
    assert launch.done
    with pytest.raises(EngineError, match="CUDA_ERROR_LAUNCH_FAILED") as caught:
        launch.hits()
    assert "nvidia-smi" in caught.value.todo
    with pytest.raises(EngineError, match="cuLaunchKernel"):
        this.launch(batch())
    this.close()


def test_cards_are_listed_with_their_bus(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "driver", lambda: Driver(library))
    ((device, number),) = cuda.list_devices()
    assert (device.name, device.driver, device.bus, number) == ("NVIDIA Test 100", "CUDA 12.9", "0000:65:00.0", 0)
    assert device.memory_bytes == 80 << 30


def test_without_a_driver_there_are_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "driver", lambda: None)
    assert cuda.list_devices() == []
    with pytest.raises(EngineError, match="is gone"):
        CudaProgram(0, PLAIN, None)


def test_without_nvrtc_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "_in_wheels", list)
    monkeypatch.setattr(nvrtc, "_NAMES", ("libnothing.so",))
    nvrtc._library.cache_clear()
    try:
        with pytest.raises(EngineError, match="libnvrtc") as caught:
            nvrtc.compile_cuda("", 90)
    finally:
        nvrtc._library.cache_clear()
    assert "solominer[cuda]" in caught.value.todo


needs_nvrtc = pytest.mark.skipif(find_spec("nvidia") is None, reason="NVRTC is not installed: pip install .[cuda]")


@needs_nvrtc
def test_code_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'extern "C" __global__ void search(int *x) { *x = 5; }'
    code = nvrtc.machine_code(text, 90, tmp_path)
    assert code.startswith(b"\x7fELF")
    monkeypatch.setattr(nvrtc, "compile_cuda", None)
    assert nvrtc.machine_code(text, 90, tmp_path) == code


@needs_nvrtc
def test_a_card_newer_than_the_compiler_gets_code_for_its_driver_to_compile() -> None:
    assert b".target" in nvrtc.compile_cuda('extern "C" __global__ void search(int *x) { *x = 5; }', 999)


@needs_nvrtc
@pytest.mark.parametrize(("text", "capability", "error"), [("what", 90, "cannot compile"), ("", 20, "capability 2.0")])
def test_what_nvrtc_cannot_compile_is_said(text: str, capability: int, error: str) -> None:
    with pytest.raises(EngineError, match=error):
        nvrtc.compile_cuda(text, capability)
