"""The cache of compiled kernels on disk. A cache that cannot be used never prevents mining.

    <cache_dir>/kernels/<machine key>/<variant>/     Numba's cache files and MANIFEST.json, their SHA-256 digests

They are code, so they are loaded only from folders that nobody else can write, and only if every file matches the
manifest. Anything else is recompiled. If the folder cannot be used, a private temporary folder is used, or the kernel
is compiled in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from solominer.config.file_lock import lock_within
from solominer.engines.cpu.machine import this_machine
from solominer.engines.cpu.variants import VARIANTS
from solominer.engines.pool.processes import python_command
from solominer.engines.private_folder import Unusable, check_owner, private_folder
from solominer.records.tree import atomic_write

MANIFEST = "MANIFEST.json"
COMPILE_TIMEOUT_SECS = 180
LOCK_SECS = 60.0
"""How long to wait for another process that compiles; with our own compilation less than a worker has to start."""


Report = Callable[[str], None]
T = TypeVar("T")


class Functions(NamedTuple):
    """A variant's compiled functions, from `jit.make_scan` and `jit.make_midstates`."""

    scan: Any
    midstates: Any


class Compiled(NamedTuple, Generic[T]):
    """Code that a separate process compiles into a folder, the last argument of `command` (module and arguments).

    `load` reads a folder that matches its manifest; None if its files cannot be used.
    """

    name: str
    command: tuple[str, ...]
    load: Callable[[Path], T | None]


def machine_folder(cache_dir: Path) -> Path:
    """The cache folder for this kind of machine."""
    return cache_dir / "kernels" / this_machine().key


def load_functions(number: int, cache_dir: Path | None, report: Report) -> Functions:
    """Variant `number`, from `cache_dir` if it is intact there, else compiled and stored there if possible."""
    name = VARIANTS[number].name
    what = Compiled(name, ("solominer.engines.cpu.compile", str(number)), partial(_load, number))
    functions = load_compiled(what, machine_folder(cache_dir) if cache_dir else None, report)
    if functions is None:
        report(f"compiling kernel {name} in memory")
    return functions or _make(number)


def load_compiled(what: Compiled[T], parent: Path | None, report: Report) -> T | None:
    """Load it from its folder in `parent` if it is intact there, else compile it there or in a temporary folder.

    `parent` is a folder of `<cache_dir>/kernels` for this kind of machine. None if it cannot be compiled anywhere.
    """
    if parent is not None:
        try:
            return _load_or_build(what, parent, report)
        except OSError as error:
            report(f"kernel cache {parent.parents[1]} not used: {error}")
    try:
        with tempfile.TemporaryDirectory(prefix="solominer-kernels-") as folder:
            return _load_or_build(what, Path(folder), report)
    except OSError as error:
        report(f"no temporary folder to compile in: {error}")
    return None


def _load_or_build(what: Compiled[T], parent: Path, report: Report) -> T:
    folder = parent / what.name
    private_folder(parent)
    loaded = _load_intact(what, folder)
    if loaded is not None:  # without the lock, which a process that is stopped may hold
        return loaded
    with _locked(parent):
        loaded = _load_intact(what, folder)  # another may have compiled it meanwhile
        if loaded is not None:
            return loaded
        problem = _problem(folder)
        if problem is None:
            problem = "it cannot be loaded"
        if problem:
            report(f"compiled kernel {what.name} discarded: {problem}")
        report(f"compiling kernel {what.name} ...")
        _build(what, folder)
        loaded = what.load(folder)
    if loaded is None:
        raise Unusable("the compiled code cannot be loaded")
    return loaded


def _load_intact(what: Compiled[T], folder: Path) -> T | None:
    return what.load(folder) if _problem(folder) is None else None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: if several workers start at once, one compiles and the others load.

    Raises Unusable if another process holds it for LOCK_SECS.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not lock_within(handle, LOCK_SECS):
            raise Unusable(f"another process has been compiling in it, or is stopped, for {LOCK_SECS:g} s")
        yield
    finally:
        os.close(handle)


def _problem(folder: Path) -> str | None:
    """Why the folder's contents cannot be used: None if they can, '' if the folder does not exist."""
    if not folder.is_dir():
        return ""
    if not (folder / MANIFEST).exists():
        return "its compilation was interrupted"
    try:
        expected = json.loads((folder / MANIFEST).read_bytes())
        check_owner(folder)
        found = _digests(folder)
    except (OSError, ValueError) as error:
        return str(error)
    return None if found and found == expected else "its files do not match the manifest"


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for path in sorted(folder.rglob("*")):
        check_owner(path)
        if path.is_file() and path.name != MANIFEST:
            digests[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def _build(what: Compiled[Any], folder: Path) -> None:
    """Compile in a child process, then write the manifest."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    command, environment = python_command(*what.command, str(folder))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            umask=0o077,
            timeout=COMPILE_TIMEOUT_SECS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unusable(f"the compiler did not finish within {COMPILE_TIMEOUT_SECS} s") from None
    if done.returncode:
        last_line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Unusable(f"the compiler exited with code {done.returncode}: {last_line}")
    atomic_write(folder / MANIFEST, json.dumps(_digests(folder), indent=1).encode())


def _load(number: int, folder: Path) -> Functions | None:
    """The functions from Numba's cache; None if Numba had to compile them or could not read its files."""
    import numba

    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        functions = _make(number, cache=True)
    except Exception:  # noqa: BLE001  unpickling can raise anything, and the remedy is always to recompile
        return None
    finally:
        config.CACHE_DIR = before
    return functions if all(sum(each.stats.cache_hits.values()) for each in functions) else None


def _make(number: int, **options: Any) -> Functions:
    from solominer.engines.cpu.jit import make_midstates, make_scan

    return Functions(make_scan(number, **options), make_midstates(**options))
