"""How many hashes a launch has, so that it lasts as long as wanted, and how long the device then rests."""

from __future__ import annotations

_FIRST_HASHES = 1 << 12
_MOST_GROWTH = 4.0
_WEIGHT = 0.25


class LaunchPace:
    """The size of launches that last `launch_ms`, from the measured speed; it begins with small ones.

    `ns_per_hash` is the current estimate, infinite until the first measurement.
    """

    def __init__(self, launch_ms: float) -> None:
        self.target_ns = launch_ms * 1e6
        self.ns_per_hash = float("inf")
        self._hashes = float(_FIRST_HASHES)

    @property
    def hashes(self) -> int:
        """Hashes for the next launch."""
        return int(self._hashes)

    def expected_ns(self, hashes: int) -> float:
        """How long a launch of so many hashes probably takes."""
        return self.target_ns if self.ns_per_hash == float("inf") else self.ns_per_hash * hashes

    def saw(self, hashes: int, busy_ns: int) -> None:
        """A launch of `hashes` kept the device busy for `busy_ns`. One that the host disturbed counts at most twice."""
        measured = max(busy_ns, 1) / hashes
        if self.ns_per_hash == float("inf"):
            self.ns_per_hash = measured
        else:
            self.ns_per_hash += _WEIGHT * (min(measured, 2 * self.ns_per_hash) - self.ns_per_hash)
        self._hashes = max(1.0, min(self.target_ns / self.ns_per_hash, _MOST_GROWTH * self._hashes))


def rest_ns(busy_ns: float, duty: float) -> float:
    """How long a device that was busy for `busy_ns` rests so that it is busy for the fraction `duty` of the time."""
    return busy_ns * (1 / duty - 1)
