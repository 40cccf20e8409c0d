"""Whether the system knows the time zone that it was told: the C library takes UTC for one that it does not know."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import TZPATH

_LOCALTIME = Path("/etc/localtime")
_RULE = re.compile(r"(<[+\-0-9A-Za-z]{3,}>|[A-Za-z]{3,})[+-]?\d{1,3}(:\d\d){0,2}([<A-Za-z].*)?", re.ASCII)
"""A zone written out as POSIX has it, such as CET-1CEST,M3.5.0,M10.5.0/3."""

TIME_ZONE_TODO = "set TZ to a name in /usr/share/zoneinfo, such as Europe/Berlin (package tzdata), or unset it"


def time_zone_problem(environ: Mapping[str, str] = os.environ, localtime: Path = _LOCALTIME) -> str:
    """Why times of day are taken as UTC although another time zone was meant; "" if they are not."""
    name = environ.get("TZ")
    if name is None:
        dangling = localtime.is_symlink() and not localtime.exists()
        return f"{localtime} links to a time zone that is missing: times of day are UTC" if dangling else ""
    name = name.removeprefix(":")
    folders = [Path(folder) for folder in (environ.get("TZDIR"), *TZPATH) if folder]
    known = not name or _RULE.fullmatch(name) or any((folder / name).is_file() for folder in folders)
    return "" if known else f"TZ is {name!r:.80}, a time zone that this system does not know: times of day are UTC"
