"""Who may connect: bounds, bans that expire, and memory that does not grow with the addresses of the world."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from solominer.config.listeners import StratumLimits
from solominer.engines.stratum.channel import ServerLimits
from solominer.engines.stratum.doorman import BAN_SECS, FAILURES, WINDOW_SECS, Doorman

A, B = "192.0.2.1", "198.51.100.7"


def fail(doorman: Doorman, address: str, now: float, times: int = 1) -> bool:
    """Connections whose client is at fault; whether the last one had the address banned."""
    banned = False
    for _ in range(times):
        assert doorman.admit(address, now) == ""
        banned = doorman.leave(address, now, was_logged_in=False, failed=True)
    return banned


def test_a_ban_begins_with_many_failures_in_a_minute_and_expires() -> None:
    doorman = Doorman(10, 10)
    assert not fail(doorman, A, 0.0, FAILURES - 1)
    assert fail(doorman, A, 1.0)
    assert "turned away for 300 s" in doorman.admit(A, 1.0)
    assert doorman.admit(B, 1.0) == ""
    assert doorman.admit(A, 1.0 + BAN_SECS) == ""


def test_failures_that_are_far_apart_ban_nobody() -> None:
    doorman = Doorman(10, 10)
    for number in range(10 * FAILURES):
        assert not fail(doorman, A, number * (WINDOW_SECS / (FAILURES - 2)))


def test_who_leaves_by_himself_is_no_failure() -> None:
    doorman = Doorman(10, 10)
    for _ in range(10 * FAILURES):
        assert doorman.admit(A, 0.0) == ""
        assert not doorman.leave(A, 0.0, was_logged_in=False, failed=False)


def test_a_rack_behind_one_address_is_not_locked_out() -> None:
    """One miner of it is logged in; another one fails again and again, before and after the login."""
    doorman = Doorman(10_000, 4096)
    for _ in range(1000):
        assert doorman.admit(A, 0.0) == ""
    doorman.logged_in(A)
    assert not fail(doorman, A, 0.0, 10 * FAILURES)
    doorman.leave(A, 1.0, was_logged_in=True, failed=False)
    assert fail(doorman, A, 2.0)
    assert "turned away" in doorman.admit(A, 2.0)


def test_a_login_lifts_the_ban() -> None:
    doorman = Doorman(100, 100)
    assert doorman.admit(A, 0.0) == ""
    assert fail(doorman, A, 0.0, FAILURES)
    doorman.logged_in(A)
    assert doorman.admit(A, 0.0) == ""


def test_bounds_say_so_and_can_be_changed() -> None:
    doorman = Doorman(3, 2)
    assert [doorman.admit(A, 0.0) for _ in range(2)] == ["", ""]
    assert doorman.admit(A, 0.0) == "this address is at its limit of 2 connections"
    assert doorman.admit(B, 0.0) == ""
    assert doorman.admit(B, 0.0) == "this server is at its limit of 3 connections"
    doorman.most, doorman.most_per_address = 5, 3
    assert [doorman.admit(A, 0.0), doorman.admit(B, 0.0)] == ["", ""]


def test_a_whole_network_of_ipv6_counts_as_one() -> None:
    doorman = Doorman(100, 2)
    assert [doorman.admit(f"2001:db8:1:2::{number:x}", 0.0) for number in (1, 2)] == ["", ""]
    assert "this address is at its limit" in doorman.admit("2001:db8:1:2:ffff::3%eth0", 0.0)
    assert doorman.admit("2001:db8:1:3::1", 0.0) == ""
    assert [doorman.admit(f"::ffff:192.0.2.{number}", 0.0) for number in (1, 2, 3)] == ["", "", ""]
    doorman.leave("2001:db8:1:2::2", 0.0, was_logged_in=False, failed=False)
    assert doorman.admit("2001:db8:1:2::9", 0.0) == ""


def test_a_million_addresses_are_forgotten_but_not_those_that_are_connected() -> None:
    doorman = Doorman(100, 10)
    assert doorman.admit(A, 0.0) == ""
    largest = 0
    for number in range(1_000_000):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        doorman.admit(address, 0.0)
        doorman.leave(address, 0.0, was_logged_in=False, failed=True)
        largest = max(largest, len(doorman._addresses))
    assert largest < 5000
    assert not doorman.leave(A, 0.0, was_logged_in=False, failed=False)
    assert doorman.open == 0


def test_the_defaults_are_those_of_the_configuration() -> None:
    configured, server = StratumLimits(), ServerLimits()
    assert (server.connections, server.connections_per_address) == (
        configured.connections,
        configured.connections_per_address,
    )


class Doors(RuleBasedStateMachine):
    """Counts of open connections are right after any sequence, and the bounds hold."""

    connections = Bundle("connections")

    def __init__(self) -> None:
        super().__init__()
        self.doorman = Doorman(6, 3)
        self.now = 0.0
        self.open: Counter[str] = Counter()

    @rule(target=connections, address=st.sampled_from([A, B, "unix", "2001:db8::1"]))
    def come(self, address: str) -> tuple[str, bool] | None:
        refused = self.doorman.admit(address, self.now)
        if self.open[address] >= 3 or self.open.total() >= 6:
            assert "at its limit" in refused or "turned away" in refused
        if refused:
            return None
        self.open[address] += 1
        return address, False

    @rule(target=connections, connection=consumes(connections))
    def log_in(self, connection: tuple[str, bool] | None) -> tuple[str, bool] | None:
        if connection is None or connection[1]:
            return connection
        address = connection[0]
        self.doorman.logged_in(address)
        refused = self.doorman.admit(address, self.now)
        assert "turned away" not in refused
        if not refused:
            self.doorman.leave(address, self.now, was_logged_in=False, failed=False)
        return address, True

    @rule(connection=consumes(connections), failed=st.booleans())
    def leave(self, connection: tuple[str, bool] | None, failed: bool) -> None:
        if connection is not None:
            address, was_logged_in = connection
            self.doorman.leave(address, self.now, was_logged_in=was_logged_in, failed=failed)
            self.open[address] -= 1

    @rule(secs=st.floats(0, 400))
    def wait(self, secs: float) -> None:
        self.now += secs

    @invariant()
    def counts(self) -> None:
        assert self.doorman.open == self.open.total()


TestDoors = settings(max_examples=100, stateful_step_count=40, deadline=None)(Doors).TestCase
