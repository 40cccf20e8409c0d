"""Find a bitcoind for a private node, or download one to a cache folder.

In this order: the given path, `$BITCOIND`, `bitcoind` on PATH, an earlier download, Debian's package unpacked without
root (`bitcoind_debian`), Bitcoin Core's release tarball (`bitcoind_release`). Only the cache folder is written, and a
download is used only once it is complete and `--version` works.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from solominer.config.file_lock import lock_within
from solominer.errors import BitcoindNotFound
from solominer.node.private import bitcoind_debian, bitcoind_release

INSTALL_ADVICE = (
    "install Bitcoin Core or Knots and pass it with --bitcoind PATH or $BITCOIND"
    " (Debian 13: apt install -t trixie-backports bitcoin-knots; macOS: brew install bitcoin;"
    " anywhere: https://bitcoincore.org/en/download/)"
)
OTHERS_DOWNLOAD_SECS = 900.0
"""How long another process may take to download one. Its sources end by themselves when nothing arrives for minutes."""
_PROBE_TIMEOUT_SECS = 30
_STALE_PREFIX = ".fetch-"


@dataclass(frozen=True, slots=True)
class BitcoindBinary:
    """A working bitcoind. `argv` is the command to which arguments are appended; it may include a loader."""

    argv: tuple[str, ...]
    version: str
    origin: str


@dataclass(frozen=True, slots=True)
class _Source:
    """A download source: `fetch(folder, report)` fills a folder, `command(folder)` is the command to run it."""

    name: str
    origin: str
    fetch: Callable[[Path, Callable[[str], None]], None]
    command: Callable[[Path], tuple[str, ...] | None]


def find_bitcoind(
    explicit: Path | None,
    cache_dir: Path,
    *,
    fetch: bool = True,
    release_base: str = bitcoind_release.RELEASE_BASE,
    report: Callable[[str], None],
) -> BitcoindBinary:
    """Return the first working bitcoind; if there is none, download one to `cache_dir` if `fetch` is set.

    `release_base` is the URL of the release tarballs and their SHA256SUMS; `report` is called with one line per slow
    step. An explicit path or `$BITCOIND` that does not work is an error. Raises BitcoindNotFound, which says what was
    tried and what to install.
    """
    if explicit is not None:
        return _probe((str(explicit),), "given path")
    if named := os.environ.get("BITCOIND"):
        return _probe((named,), "$BITCOIND")
    if (on_path := shutil.which("bitcoind")) is not None:
        try:
            return _probe((on_path,), "PATH")
        except BitcoindNotFound as broken:
            report(f"ignored: {broken.what}")
    cache_dir = cache_dir.absolute()
    sources = _sources(release_base)
    if (found := _cached(cache_dir, sources)) is not None:
        return found
    if not fetch:
        raise BitcoindNotFound(f"no bitcoind on PATH or in {cache_dir}, and downloads are disabled", INSTALL_ADVICE)
    return _fetch(cache_dir, sources, report)


def _sources(release_base: str) -> tuple[_Source, ...]:
    return (
        _Source("debian", "Debian package", bitcoind_debian.fetch, bitcoind_debian.command),
        _Source(
            "release",
            "release tarball",
            lambda folder, report: bitcoind_release.fetch(folder, release_base, report),
            bitcoind_release.command,
        ),
    )


def _probe(argv: tuple[str, ...], origin: str) -> BitcoindBinary:
    """Run `--version`; raise BitcoindNotFound unless it answers like a bitcoind."""
    try:
        done = subprocess.run(
            [*argv, "--version"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_SECS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BitcoindNotFound(f"{argv[-1]} ({origin}) cannot be run: {error}", INSTALL_ADVICE) from error
    first_line = done.stdout.partition("\n")[0]
    match = re.search(r"daemon version v?(\S+)", first_line)
    if done.returncode != 0 or match is None:
        said = (first_line or done.stderr.strip().rpartition("\n")[2])[:200]
        raise BitcoindNotFound(f"{argv[-1]} ({origin}) is not a working bitcoind: {said}", INSTALL_ADVICE)
    return BitcoindBinary(argv, match[1], origin)


def _cached(cache_dir: Path, sources: tuple[_Source, ...]) -> BitcoindBinary | None:
    for source in sources:
        if (argv := source.command(cache_dir / source.name)) is not None:
            try:
                return _probe(argv, f"{source.origin}, cached")
            except BitcoindNotFound:
                continue  # damaged: a download replaces it
    return None


def _fetch(cache_dir: Path, sources: tuple[_Source, ...], report: Callable[[str], None]) -> BitcoindBinary:
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir, report):
            # The previous holder of the lock may have downloaded it.
            return _cached(cache_dir, sources) or _fetch_first_working(cache_dir, sources, report)
    except OSError as error:
        raise BitcoindNotFound(
            f"cannot write a bitcoind to {cache_dir}: {error}", f"check its space and permissions, or {INSTALL_ADVICE}"
        ) from error


def _fetch_first_working(
    cache_dir: Path, sources: tuple[_Source, ...], report: Callable[[str], None]
) -> BitcoindBinary:
    for left_over in cache_dir.glob(f"{_STALE_PREFIX}*"):  # of an interrupted download, as we hold the lock
        shutil.rmtree(left_over, ignore_errors=True)
    reasons = []
    for source in sources:
        folder = Path(tempfile.mkdtemp(prefix=_STALE_PREFIX, dir=cache_dir))
        try:
            source.fetch(folder, report)
            if (argv := source.command(folder)) is None:
                raise BitcoindNotFound("the download contains no bitcoind")
            _probe(argv, source.origin)
            final = cache_dir / source.name
            shutil.rmtree(final, ignore_errors=True)
            folder.chmod(0o755)
            folder.rename(final)
            return _probe(source.command(final) or (), source.origin)
        except BitcoindNotFound as failed:
            reasons.append(f"{source.origin}: {failed.what}")
            report(f"no bitcoind from the {source.origin}: {failed.what}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    raise BitcoindNotFound("no bitcoind found, and downloading failed (" + "; ".join(reasons) + ")", INSTALL_ADVICE)


@contextmanager
def _locked(cache_dir: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the cache's lock file; the kernel releases the lock when the process ends."""
    path = cache_dir / ".lock"
    with path.open("w") as lock:
        if not lock_within(lock.fileno(), 0):
            report(f"another solominer is downloading a bitcoind to {cache_dir}; waiting for it")
            if not lock_within(lock.fileno(), OTHERS_DOWNLOAD_SECS):
                raise BitcoindNotFound(
                    f"another solominer has been downloading a bitcoind to {cache_dir} for "
                    f"{OTHERS_DOWNLOAD_SECS / 60:g} minutes: it hangs, is stopped, or has a very slow line",
                    f"see which (fuser -v {path}), end it, and run this again; or {INSTALL_ADVICE}",
                )
        yield
