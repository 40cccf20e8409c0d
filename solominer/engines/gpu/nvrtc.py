"""CUDA C to machine code with NVIDIA's runtime compiler (NVRTC): from its wheel, or what the system has."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from solominer.engines.gpu.kept_code import kept_code
from solominer.errors import EngineError, printable_lines

_TODO = "pip install 'solominer[cuda]', or install NVIDIA's CUDA toolkit"
_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


def machine_code(text: str, capability: int, cache_dir: Path | None) -> bytes:
    """A kernel's code for a compute capability (90: sm_90), from `cache_dir` if it is there.

    A cubin, or PTX for the card's driver if NVRTC is older than the card. Raises EngineError if there is no NVRTC or
    the text has errors.
    """
    return kept_code(cache_dir, text, f"sm{capability}", lambda: compile_cuda(text, capability))


def compile_cuda(text: str, capability: int) -> bytes:
    """Compile with NVRTC. Raises EngineError as `machine_code` does."""
    library = _library()
    known = [number for number in _capabilities(library) if number <= capability]
    if not known:
        raise EngineError(f"NVRTC does not know compute capability {capability / 10}", _TODO)
    native = known[-1] == capability
    options = [f"--gpu-architecture={'sm' if native else 'compute'}_{known[-1]}".encode()]
    program = ctypes.c_void_p()
    _check(library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"search.cu", 0, None, None), "create")
    try:
        failed = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        if failed:
            log = printable_lines(_fetched(library, "ProgramLog", program).decode(errors="replace"))
            raise EngineError(f"NVRTC cannot compile the kernel: {log}", _TODO)
        return _fetched(library, "CUBIN" if native else "PTX", program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _fetched(library: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _check(library[f"nvrtcGet{what}Size"](program, ctypes.byref(size)), what)
    room = ctypes.create_string_buffer(size.value)
    _check(library[f"nvrtcGet{what}"](program, room), what)
    return room.raw


def _capabilities(library: ctypes.CDLL) -> list[int]:
    count = ctypes.c_int()
    _check(library.nvrtcGetNumSupportedArchs(ctypes.byref(count)), "architectures")
    numbers = (ctypes.c_int * count.value)()
    _check(library.nvrtcGetSupportedArchs(numbers), "architectures")
    return sorted(numbers)


def _check(status: int, what: str) -> None:
    if status:
        raise EngineError(f"NVRTC failed with code {status} ({what})", _TODO)


@cache
def _library() -> ctypes.CDLL:
    for name in [*_in_wheels(), *_NAMES, *(f"/usr/local/cuda/lib64/{name}" for name in _NAMES)]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise EngineError("NVIDIA's runtime compiler (libnvrtc.so) is not found", _TODO)


def _in_wheels() -> list[str]:
    """The library in NVIDIA's wheels, whichever version is installed."""
    spec = find_spec("nvidia")
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    return [str(path) for folder in folders for name in _NAMES for path in sorted(folder.glob(f"*/lib/{name}"))]
