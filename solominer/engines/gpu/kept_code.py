"""Compiled kernels on disk, one file each. A cache that cannot be used costs a compilation, nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from solominer.engines.private_folder import private_folder
from solominer.records.tree import atomic_write


def kept_code(
    cache_dir: Path | None, text: str, target: str, compile_it: Callable[[], bytes], *, fresh: bool = False
) -> bytes:
    """The code of a kernel's source for a target (a device with its driver, or an architecture), compiled if need be.

    Code is read only from a folder that nobody else can write; `fresh`: not even from there, for what it holds does
    not work. A file is written whole or not at all.
    """
    if cache_dir is None:
        return compile_it()
    folder = cache_dir / "kernels" / "gpu"
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}-{target}.bin"
    try:
        private_folder(folder)
        if not fresh:
            return path.read_bytes()
    except OSError:
        pass
    code = compile_it()
    try:
        private_folder(folder)
        atomic_write(path, code)
    except OSError:  # read-only, or writable by others: see above
        pass
    return code
