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

    Lines are written within `flush_secs`; counters and machine readings are recorded every `reading_secs`. While the
    disk fails, up to `max_waiting_bytes` of lines wait in memory; beyond that, shares are dropped and counted.
    `signing_key` is a file with an Ed25519 private key (PEM). Ledger, errors and logs are deleted after `keep_days`, or
    oldest first while they exceed `quota_bytes` or less than `free_bytes` are free on the disk. Reports, proofs and
    submissions are never deleted. hours.txt is rotated at `tail_bytes`.
    """

    journal_fallback_dir: Path | None = None
    flush_secs: float = 1.0
    reading_secs: float = 60.0
    max_waiting_bytes: int = 64 << 20
    queue_entries: int = 50_000
    keep_best: int = 16
    signing_key: Path | None = None
    keep_days: float = 400.0
    quota_bytes: int = 4 << 30
    free_bytes: int = 1 << 30
    tail_bytes: int = 8 << 20
