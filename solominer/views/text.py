"""Numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_STEPS = ("", "k", "M", "G", "T", "P", "E")


def scaled(value: float, unit: str, digits: int = 2) -> str:
    """`value` with a decimal prefix: 38.21 MH/s."""
    step = 0
    while abs(value) >= 1000 and step < len(_STEPS) - 1:
        value /= 1000
        step += 1
    return f"{value:.{digits}f} {_STEPS[step]}{unit}"


def rate(hps: float) -> str:
    """A hash rate."""
    return scaled(hps, "H/s")


def coins(sats: int) -> str:
    """Satoshis as whole coins, exact."""
    return f"{sats // 100_000_000}.{sats % 100_000_000:08d} BTC"


def duration(secs: float) -> str:
    """Seconds as the two largest of days, hours, minutes and seconds."""
    total = max(int(secs), 0)
    parts = (("d", total // 86400), ("h", total // 3600 % 24), ("m", total // 60 % 60), ("s", total % 60))
    first = next((i for i, (_, n) in enumerate(parts) if n), 3)
    return " ".join(f"{n}{unit}" for unit, n in parts[first : first + 2])


def utc(at: float) -> str:
    """Unix seconds as time of day, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
