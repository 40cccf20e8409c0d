"""Download bitcoind from Bitcoin Core's release tarball, verified with SHA256SUMS before it is unpacked.

SHA256SUMS comes from the same site, so it detects damage; its own authenticity relies on HTTPS.
"""

from __future__ import annotations

import hashlib
import http.client
import platform
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from solominer.errors import BitcoindNotFound

RELEASE_BASE = "https://bitcoincore.org/bin/bitcoin-core-29.2/"
PLATFORMS = {
    ("Linux", "x86_64"): "x86_64-linux-gnu",
    ("Linux", "aarch64"): "aarch64-linux-gnu",
    ("Darwin", "x86_64"): "x86_64-apple-darwin",
    ("Darwin", "arm64"): "arm64-apple-darwin",
}
_BITCOIND = re.compile(r"bitcoin-\w[\w.]*/bin/bitcoind")
_TIMEOUT_SECS = 60
_MAX_SUMS_BYTES = 1 << 20
_MAX_TARBALL_BYTES = 200 << 20
_CHUNK_BYTES = 1 << 20


def fetch(folder: Path, base: str, report: Callable[[str], None]) -> None:
    """Unpack this platform's release from the URL `base` into `folder`. Raises BitcoindNotFound with the reason."""
    machine = (platform.system(), platform.machine())
    if machine not in PLATFORMS:
        raise BitcoindNotFound(f"no release for {' '.join(machine)}")
    base = base.rstrip("/") + "/"
    tarball = folder / "release.tar.gz"
    try:
        with _open(base + "SHA256SUMS") as reply:
            sums = reply.read(_MAX_SUMS_BYTES).decode("ascii", "replace")
        name, wanted_hex = pick_tarball(sums, PLATFORMS[machine])
        report(f"downloading {base}{name} (about 50 MB)")
        found_hex = _download(base + name, tarball)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise BitcoindNotFound(f"cannot download from {base}: {getattr(error, 'reason', error)}") from error
    if found_hex != wanted_hex:
        raise BitcoindNotFound(f"{base}{name} does not match its SHA256SUMS: {found_hex}, expected {wanted_hex}")
    try:
        _unpack(tarball, folder)
    except (tarfile.TarError, EOFError) as error:
        raise BitcoindNotFound(f"{name} cannot be unpacked: {error}") from error
    tarball.unlink()


def command(folder: Path) -> tuple[str, ...] | None:
    """The command to run the bitcoind that `fetch` unpacked; None if missing."""
    found = sorted(folder.glob("bitcoin-*/bin/bitcoind"))
    return (str(found[0].absolute()),) if found else None


def pick_tarball(sums: str, platform_name: str) -> tuple[str, str]:
    """The tarball's name and SHA-256 (hex) in the text of SHA256SUMS. Raises BitcoindNotFound if it lists none."""
    line = re.search(rf"^([0-9a-f]{{64}}) [ *](bitcoin-[0-9][\w.]*-{platform_name}\.tar\.gz)$", sums, re.MULTILINE)
    if line is None:
        raise BitcoindNotFound(f"SHA256SUMS lists no tarball for {platform_name}")
    return line[2], line[1]


def _unpack(tarball: Path, folder: Path) -> None:
    """Unpack only bitcoind. `extractall(filter="data")` requires Python 3.11.4; Debian 12 has 3.11.2."""
    with tarfile.open(tarball) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() and _BITCOIND.fullmatch(member.name) else None
            if content is not None:
                target = folder / member.name
                target.parent.mkdir(parents=True)
                with content, target.open("wb") as file:
                    shutil.copyfileobj(content, file)
                target.chmod(0o755)
                return


def _open(url: str) -> http.client.HTTPResponse:
    if not url.startswith(("https://", "http://")):
        raise ValueError("the release address must begin with https:// or http://")
    reply: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=_TIMEOUT_SECS)
    return reply


def _download(url: str, target: Path) -> str:
    """Write `url` to `target` and return its SHA-256 in hex; a short or oversized body is a ValueError."""
    digest, size = hashlib.sha256(), 0
    with _open(url) as reply, target.open("wb") as file:
        while chunk := reply.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > _MAX_TARBALL_BYTES:
                raise ValueError(f"{url} is larger than {_MAX_TARBALL_BYTES >> 20} MB")
            digest.update(chunk)
            file.write(chunk)
        announced = reply.headers.get("Content-Length")
    if announced is not None and int(announced) != size:
        raise ValueError(f"{url} ended after {size} of {announced} bytes")
    return digest.hexdigest()
