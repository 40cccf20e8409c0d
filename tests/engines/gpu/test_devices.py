"""Devices are listed and named, and what is missing or gone is said with what to do."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solominer.engines.gpu import backends, cuda, opencl
from solominer.engines.gpu.kept_code import kept_code
from solominer.engines.gpu.kernel import Device, check, devices, load_kernel
from solominer.errors import EngineError
from tests.engines.gpu.pocl import NAMES, kernel, pocl

PLAIN = next(name for name in NAMES if name.startswith("plain-added"))
CARD = Device(0, "Big Card (TM) 9000", "OpenCL 1.0", 1 << 30, "gpu", "opencl", "0000:65:00.0")


def test_a_cpu_is_a_device_only_when_asked_for() -> None:
    assert pocl() in devices(cpus=True)
    assert all(device.kind != "cpu" for device in devices())


def test_a_device_says_what_it_is() -> None:
    device = pocl()
    assert device.name
    assert "Portable Computing Language" in device.driver
    assert device.memory_bytes > 1 << 20
    assert device.backend == "opencl"


def test_a_key_is_of_name_and_driver() -> None:
    assert CARD.key == replace(CARD, index=3, bus="0000:17:00.0", memory_bytes=5).key
    assert CARD.key != replace(CARD, driver="OpenCL 1.1").key
    assert CARD.key != replace(CARD, name="Big Card (TM) 9001").key
    assert CARD.key.startswith("Big-Card-TM-9000-")


def test_without_pyopencl_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    with pytest.raises(EngineError, match="need pyopencl") as caught:
        devices()
    assert "solominer[gpu]" in caught.value.todo


def test_without_a_platform_the_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cl = opencl.opencl()

    def none() -> None:
        raise cl.LogicError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR")

    monkeypatch.setattr(cl, "get_platforms", none)
    with pytest.raises(EngineError, match="no platform") as caught:
        devices()
    assert "driver" in caught.value.todo


def test_a_device_that_is_gone_is_named() -> None:
    with pytest.raises(EngineError, match="no longer there") as caught:
        load_kernel(CARD, NAMES[0], cache_dir=None)
    assert "Big Card" in caught.value.what


def test_an_unknown_kernel_is_named_with_the_known_ones() -> None:
    with pytest.raises(EngineError, match="no such kernel") as caught:
        load_kernel(pocl(), "shared-turbo", cache_dir=None)
    assert NAMES[0] in caught.value.todo


def test_an_opencl_error_of_a_launch_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    this, cl = kernel(NAMES[0]), opencl.opencl()

    def fail(*_: Any, **__: Any) -> None:
        raise cl.RuntimeError("clEnqueueNDRangeKernel failed: OUT_OF_RESOURCES")

    monkeypatch.setattr(cl, "enqueue_nd_range_kernel", fail)
    for _ in range(3):  # the place of a launch that failed is free again
        with pytest.raises(EngineError, match="OUT_OF_RESOURCES") as caught:
            check(this)
    assert "dmesg" in caught.value.todo
    monkeypatch.undo()
    check(this)


def test_a_launch_that_fails_on_the_card_is_done_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    this = kernel(NAMES[0])
    program: Any = this.program

    class Failed:
        command_execution_status = -5

    monkeypatch.setattr(program._slots[1], "read", Failed())
    with pytest.raises(EngineError, match="status -5"):
        program.finished(1)


def test_code_that_the_driver_does_not_keep_is_kept_in_our_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyopencl.characterize.has_src_build_cache", lambda handle: False)
    load_kernel(pocl(), PLAIN, cache_dir=tmp_path)
    (path,) = (tmp_path / "kernels" / "gpu").iterdir()
    written = path.stat().st_mtime_ns
    load_kernel(pocl(), PLAIN, cache_dir=tmp_path)
    assert path.stat().st_mtime_ns == written


def test_damaged_code_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def damaged(*_: Any, fresh: bool = False) -> bytes:
        asked.append(fresh)
        return b"damaged"

    monkeypatch.setattr("pyopencl.characterize.has_src_build_cache", lambda handle: False)
    monkeypatch.setattr(opencl, "kept_code", damaged)
    load_kernel(pocl(), PLAIN, cache_dir=None)
    assert asked == [False, True]


def test_kept_code_is_compiled_once_for_each_text_and_target(tmp_path: Path) -> None:
    made: list[str] = []

    def ask(text: str, target: str, cache_dir: Path | None = tmp_path, *, fresh: bool = False) -> bytes:
        def compile_it() -> bytes:
            made.append(text + target)
            return (text + target).encode()

        return kept_code(cache_dir, text, target, compile_it, fresh=fresh)

    for _ in range(2):
        assert [ask("a", "x"), ask("a", "y"), ask("b", "x")] == [b"ax", b"ay", b"bx"]
    assert made == ["ax", "ay", "bx"]
    (damaged,) = tmp_path.rglob("*-y.bin")
    damaged.write_bytes(b"")
    assert ask("a", "y", fresh=True) == ask("a", "y") == b"ay"
    ask("a", "x", None)
    assert made[3:] == ["ay", "ax"]
    damaged.parent.chmod(0o777)  # anyone can write there: it is neither read nor written
    assert ask("a", "x") == b"ax"
    assert made[5:] == ["ax"]


def test_a_card_that_both_libraries_list_is_one_device_with_two_sets_of_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_cuda = replace(CARD, driver="CUDA 12.9", backend="cuda")
    other = replace(by_cuda, bus="0000:17:00.0")
    monkeypatch.setattr(opencl, "list_devices", lambda: [(replace(CARD, kind="cpu", bus=""), "c"), (CARD, "a")])
    monkeypatch.setattr(cuda, "list_devices", lambda: [(by_cuda, 0), (other, 1)])
    listed = devices(cpus=True)
    assert [(device.kind, device.backend, device.bus) for device in listed] == [
        ("gpu", "opencl", CARD.bus),
        ("gpu", "cuda", other.bus),
        ("cpu", "opencl", ""),
    ]
    assert [device.index for device in listed] == [0, 1, 2]
    assert "cuda-shared-added-64" in backends.variant_names(listed[0])
    assert "cuda-shared-added-64" not in backends.variant_names(listed[1])


def test_cuda_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    by_cuda = replace(CARD, driver="CUDA 12.9", backend="cuda")
    monkeypatch.setattr(cuda, "list_devices", lambda: [(by_cuda, 0)])
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    assert devices() == [by_cuda]
