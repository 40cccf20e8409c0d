"""Settings of the records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DAY_SECS = 86_400

Alarm = Callable[[str, str, str, str], None]
"""Called from the writer's thread with severity, code, message and what to do."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """The defaults suit a single mining machine.

    While the disk fails, up to `max_waiting_bytes` of lines wait in memory; then shares are dropped and counted.
    `signing_key` is a file with an Ed25519 private key (PEM). Ledger, errors and logs are deleted after `keep_days`, or
    oldest first while they exceed `quota_bytes` or less than `free_bytes` are free on the disk, but never the last
    two hours. Reports, proofs and submissions are never deleted.
    """

    journal_fallback_dir: Path | None = None
    max_waiting_bytes: int = 64 << 20
    queue_entries: int = 50_000
    signing_key: Path | None = None
    keep_days: float = 400.0
    quota_bytes: int = 4 << 30
    free_bytes: int = 1 << 30
