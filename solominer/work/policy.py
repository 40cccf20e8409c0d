"""How the coordinator and the tracking of blocks behave: what the configuration decides, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to send again: `first_secs`, doubled each time up to `most_secs`; when to look a settled block up again."""

    first_secs: float = 0.25
    most_secs: float = 30.0
    look_secs: float = 60.0
    looks_per_tick: int = 16


@dataclass(frozen=True, slots=True)
class Policy:
    """How the coordinator behaves; times in seconds.

    `refresh_secs`: age at which a template is fetched anew. `stale_secs`: how long work goes on while no node is
    healthy. `shares_per_hour`: how hard shares are made. `empty_first`: mine an empty block until the full template
    of a new tip is in. `staging`: a found block is proposed and never submitted. `submit` False (demo): neither.
    `max_blocks`: no more work once that many blocks are found and not lost again. `sign_for`: every job is
    signed for this extranonce1 and these searched bits before it is published (signet; None: no signatures).
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
