"""Sealing a part: text report, manifest, and the report that contains the hashes of both manifest and previous report.

    SHA256SUMS          every file of the hour in all sections, for `sha256sum -c` in the network's folder
    report.json         contains the hash of SHA256SUMS and of the previous report
    report.sig          Ed25519 signature of report.json, if a key is configured
    report.json.sha256  the hash of report.json (and report.sig); its presence marks the hour as sealed

A sealed part is never modified.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from solominer.config.paths import open_regular
from solominer.records.evidence.signing import Signer
from solominer.records.evidence.state import MANIFEST, REPORT, SEAL, Head
from solominer.records.files import fsync_folder, is_regular, optional, reason, shown, warn_once
from solominer.records.ledger.jsonlines import pretty_json
from solominer.records.report.text import report_text
from solominer.records.tree import SECTIONS, Part, Tree, atomic_write, is_ours, make_folder, remove_temporaries

SIGNATURE = "report.sig"
_OWN = (REPORT, SEAL, MANIFEST, SIGNATURE)
_PIECE = 1 << 20
_MOST_FOREIGN_BYTES = 16 << 20
_MOST_TAIL_BYTES = 8 << 20


def seal_part(tree: Tree, part: Part, report: dict[str, Any], signer: Signer | None, also: Sequence[str] = ()) -> Head:
    """Write manifest, report and seal of a complete part; the manifest includes the files `also`.

    Raises OSError, after which it may be called again.
    """
    folder = tree.folder("reports", part)
    for name in (*_OWN, "report.txt"):
        tree.clear_the_way(folder / name)
    make_folder(folder, durable=True)
    for section in SECTIONS:
        remove_temporaries(tree.root, f"{section}/{part.path}")
    text = report_text(report).encode()
    with optional("the report as text"):
        atomic_write(folder / "report.txt", text)
    manifest, count, size = _checksums(tree, part, also)
    atomic_write(folder / MANIFEST, manifest)
    files = {"sha256": sha256(manifest).hexdigest(), "count": count, "bytes": size}
    data = pretty_json(report | {"files": files, "signer": None if signer is None else signer.public_hex})
    digest = sha256(data).hexdigest()
    seal = f"{digest}  {REPORT}\n"
    atomic_write(folder / REPORT, data)
    if signer is not None:
        signature = signer.sign(data)
        atomic_write(folder / SIGNATURE, signature)
        seal += f"{sha256(signature).hexdigest()}  {SIGNATURE}\n"
    fsync_folder(folder)
    atomic_write(folder / SEAL, seal.encode(), durable=True)
    tree.point_latest(part)
    return Head(part, report["sequence"], digest)


def _checksums(tree: Tree, part: Part, also: Sequence[str]) -> tuple[bytes, int, int]:
    """The manifest, its number of files, and their total size in bytes."""
    own = {f"reports/{part.path}/{name}" for name in _OWN}
    lines, total = [], 0
    for path in [*tree.files(part), *also]:
        if path not in own:
            try:
                _check_foreign(path, tree)
                digest, size = hash_file(tree.root / path)
            except OSError as error:
                if error.errno == errno.EIO:
                    raise
                why = f"not listed in {MANIFEST}: {reason(error)}"
                warn_once(f"foreign {path}", f"{shown(tree.root / path)}: {why}")
                continue
            lines.append(f"{digest}  {path}\n")
            total += size
    return "".join(lines).encode(), len(lines), total


def _check_foreign(path: str, tree: Tree) -> None:
    """Raise OSError unless the file can be listed: ours, or a small foreign one with a printable name."""
    facts = (tree.root / path).lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if is_ours(path):
        return
    if not path.isprintable():
        raise OSError(errno.EINVAL, "its name is not printable")
    if facts.st_size > _MOST_FOREIGN_BYTES:
        raise OSError(errno.EFBIG, f"not part of the records, and {facts.st_size} bytes")
    warn_once(f"foreign {path}", f"{shown(tree.root / path)}: not part of the records, left alone")


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 of a regular file in hex, and its size. Raises OSError."""
    digest, size = sha256(), 0
    with open_regular(path) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def append_tail(tree: Tree, report: Mapping[str, Any]) -> None:
    """Append the report's text to hours.txt; beyond 8 MB the file is first rotated to hours.txt.1."""
    path = tree.root / "hours.txt"
    with optional("hours.txt"):
        tree.clear_the_way(path)
        if is_regular(path) and path.stat().st_size > _MOST_TAIL_BYTES:
            path.replace(path.with_name("hours.txt.1"))
        with path.open("a", encoding="utf-8") as file:
            file.write(report_text(report))
