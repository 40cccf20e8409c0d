"""Configuration of the coordinator and of block tracking."""

from __future__ import annotations

from dataclasses import dataclass, field

KEEP_SECS = 3600.0
KEEP_BYTES = 100_000_000
"""How long jobs are kept where miners or other machines hand in shares, and how much memory they may take."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retry delays: `first_secs`, doubled each time up to `most_secs`; `look_secs` between checks of a block."""

    first_secs: float = 0.25
    most_secs: float = 30.0
    look_secs: float = 60.0
    looks_per_tick: int = 16


@dataclass(frozen=True, slots=True)
class Policy:
    """Configuration of the coordinator; times in seconds.

    `refresh_secs`: age at which a template is refreshed. `stale_secs`: how long to mine without a healthy node.
    `shares_per_hour` sets the share target. `empty_first`: mine an empty block on a new tip until its template arrives.
    `staging`: found blocks are proposed, never submitted. `submit` False (demo): neither. `max_blocks`: stop after this
    many blocks that are not stale. `sign_for`: the extranonce1 and searched bits for which every job is signed before
    it is published (signet; None: no signatures).
    """

    refresh_secs: float = 30.0
    stale_secs: float = 60.0
    return_secs: float = 30.0
    shares_per_hour: float = 1000.0
    empty_first: bool = True
    staging: bool = False
    submit: bool = True
    max_blocks: int | None = None
    sign_for: tuple[bytes, int] | None = None
    roll_secs: int = 600
    keep_job_secs: float = 600.0
    keep_job_bytes: int = 64 << 20
    retry: RetryPolicy = field(default_factory=RetryPolicy)
