"""Who may connect: bounds on connections, and addresses that are turned away for a while. Sans I/O.

The bounds suit a home and a rack behind one address: nobody is turned away for refused shares, and an address with a
miner that is logged in is never banned. An IPv6 address counts with its whole /64, of which one machine may use any.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address

FAILURES = 30
WINDOW_SECS = 60.0
BAN_SECS = 300.0
_MOST_REMEMBERED = 4096


class _Address:
    """One address: open connections, those logged in, recent failures, and until when it is banned."""

    __slots__ = ("banned_until", "failures", "logged_in", "open", "since")

    def __init__(self) -> None:
        self.open = self.logged_in = self.failures = 0
        self.since = self.banned_until = 0.0


class Doorman:
    """Admits connections. `most` in all and `most_per_address`; times are monotonic seconds.

    An address is banned for BAN_SECS after FAILURES connections within WINDOW_SECS that had to be ended before a login.
    """

    def __init__(self, most: int, most_per_address: int) -> None:
        self.most, self.most_per_address = most, most_per_address
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self.open = 0

    def admit(self, address: str, now: float) -> str:
        """Count a new connection; or why it is not admitted (and not counted). Every admitted one is to `leave`."""
        if self.open >= self.most:
            return f"this server is at its limit of {self.most} connections"
        key = _network(address)
        known = self._addresses.get(key)
        if known is None:
            known = self._addresses[key] = _Address()
            self._forget()
        self._addresses.move_to_end(key)
        if now < known.banned_until and not known.logged_in:
            return f"this address is turned away for {known.banned_until - now:.0f} s: too many connections failed"
        if known.open >= self.most_per_address:
            return f"this address is at its limit of {self.most_per_address} connections"
        known.open += 1
        self.open += 1
        return ""

    def logged_in(self, address: str) -> None:
        """A connection of this address has its first login."""
        known = self._addresses[_network(address)]
        known.logged_in += 1
        known.failures = 0
        known.banned_until = 0.0

    def leave(self, address: str, now: float, *, was_logged_in: bool, failed: bool) -> bool:
        """A connection ended, `failed` if its client was at fault; whether that bans its address from now on."""
        known = self._addresses[_network(address)]
        known.open -= 1
        self.open -= 1
        known.logged_in -= was_logged_in
        if was_logged_in or not failed:
            return False
        if now - known.since > WINDOW_SECS:
            known.since, known.failures = now, 0
        known.failures += 1
        if known.failures < FAILURES or known.logged_in:
            return False
        known.failures, known.banned_until = 0, now + BAN_SECS
        return True

    def _forget(self) -> None:
        """The addresses that were away longest, so that memory is bounded."""
        if len(self._addresses) > _MOST_REMEMBERED + self.open:
            gone = [address for address, known in self._addresses.items() if not known.open]
            for address in gone[: len(gone) // 2]:
                del self._addresses[address]


def _network(address: str) -> str:
    """What counts as one: an IPv4 address, the /64 of an IPv6 address, or a name such as `unix`."""
    if ":" not in address:
        return address
    number = IPv6Address(address.partition("%")[0])
    return str(number.ipv4_mapped or int(number) >> 64)
