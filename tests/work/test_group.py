"""Payouts of a group exact to the satoshi, read back by a reader that shares no code with the builder of coinbases.

SOLOMINER_PAYOUT_CASES sets the number of generated cases of each kind, 10,000 if it is not set.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.coinbase import Coinbase, build_coinbase
from solominer.chain.transaction import TxOut
from solominer.errors import BadValue, PayoutError, TemplateError
from solominer.work.group import BUCKETS, Account, GroupPlan, Window, plan_group
from solominer.work.job_check import check_coinbase, check_group, read_coinbase
from solominer.work.payout import dust_sats

CASES = int(os.environ.get("SOLOMINER_PAYOUT_CASES", "10000"))
ROOT = bytes(range(32))
TAPROOT = bytes.fromhex("5120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c")


def random_script(rng: random.Random) -> bytes:
    """A script of any type that may be paid, but that taproot's key is fixed."""
    data = rng.randbytes(32)
    return rng.choice(
        [
            b"\x00\x14" + data[:20],
            b"\x00\x20" + data,
            b"\xa9\x14" + data[:20] + b"\x87",
            b"\x76\xa9\x14" + data[:20] + b"\x88\xac",
        ]
    )


def build(value: int, outputs: tuple[TxOut, ...], height: int = 900_000) -> Coinbase:
    return build_coinbase(
        height=height, payouts=outputs, coinbase_value=value, commitment=ROOT, extranonce_size=12, tag=b"/x/"
    )


def read_back(value: int, outputs: tuple[TxOut, ...], height: int = 900_000) -> list[tuple[bytes, int]]:
    """The payouts as they stand in the finished coinbase."""
    coinbase = build(value, outputs, height)
    payouts = [(out.script_pubkey, out.value_sats) for out in outputs]
    check_coinbase(
        coinbase.prefix,
        coinbase.suffix,
        12,
        height=height,
        commitment=ROOT,
        coinbase_value=value,
        payouts=payouts,
    )
    return read_coinbase(coinbase.stripped(bytes(12))).outputs[:-1]


def test_a_coinbase_that_was_tampered_with_is_refused() -> None:
    """Any bit of the coinbase but the version's and the tag's."""
    value, outputs = 5000, (TxOut(2000, b"\x00\x14" + bytes(20)), TxOut(3000, TAPROOT))
    coinbase = build(value, outputs)
    payouts = [(out.script_pubkey, out.value_sats) for out in outputs]
    tag = coinbase.suffix.index(b"/x/")
    for half in (0, 1):
        for place in range(len((coinbase.prefix, coinbase.suffix)[half])):
            halves = [bytearray(coinbase.prefix), bytearray(coinbase.suffix)]
            halves[half][place] ^= 0x40
            if half and tag - 1 <= place < tag + 3:
                continue
            with pytest.raises(TemplateError):
                check_coinbase(
                    bytes(halves[0]),
                    bytes(halves[1]),
                    12,
                    height=900_000,
                    commitment=ROOT,
                    coinbase_value=value,
                    payouts=payouts,
                )


@pytest.mark.parametrize("size", range(0, 160, 7))
def test_a_short_coinbase_is_refused(size: int) -> None:
    whole = build(5000, (TxOut(5000, TAPROOT),)).stripped(bytes(12))
    with pytest.raises(TemplateError):
        read_coinbase(whole[:size])


# Groups


def check_plan(plan: GroupPlan, balances: dict[str, int], room: int) -> None:
    """Whatever holds for every plan, recomputed from what the plan itself records."""
    assert sum(plan.shares.values()) == plan.value_sats
    total = sum(plan.works.values())
    largest = min(plan.works, key=lambda member: (-plan.works[member], member))
    for member, work in plan.works.items():
        rounding = len(plan.works) if member == largest else 0
        assert 0 <= plan.shares[member] - plan.value_sats * work // total <= rounding
    paid = read_back(plan.value_sats, plan.outputs)
    assert paid == [(bytes.fromhex(member), sats) for member, sats in plan.paid.items()]
    assert sum(sats for _, sats in paid) == plan.value_sats
    assert len(build(plan.value_sats, plan.outputs).stripped(bytes(12))) <= room
    assert len(plan.paid) == 1 or all(sats >= dust_sats(bytes.fromhex(member)) for member, sats in plan.paid.items())
    assert sum(plan.carried().values()) == 0
    members = plan.works.keys() | balances.keys()
    assert all(
        plan.carried().get(member, 0) == plan.shares.get(member, 0) - plan.paid.get(member, 0) for member in members
    )
    standing = [(member, str(plan.works.get(member, 0)), balances.get(member, 0)) for member in sorted(members)]
    check_group(paid, standing, plan.value_sats)


def settled(carried: dict[str, int], number: int) -> dict[str, Any]:
    return {"number": number, "hash": "", "carried": carried}


def test_groups_are_exact_over_many_blocks() -> None:
    rng = random.Random(2)
    done = 0
    while done < CASES:
        members = [random_script(rng).hex() for _ in range(rng.choice((1, 2, 3, 8, 40)))]
        account = Account({}, 1000)
        paid_ever: dict[str, int] = dict.fromkeys(members, 0)
        earned_ever: dict[str, int] = dict.fromkeys(members, 0)
        for _ in range(20):
            active = [member for member in members if rng.random() < 0.8]
            works = {member: rng.choice((1, 10, 10**6, 10**12)) * rng.randrange(1, 100) for member in active}
            if not works:
                continue
            value = rng.choice((0, 100, rng.randrange(1000, 10**6), 312_500_000))
            room = rng.choice((165, 255, 255, 750, 6500))
            before = account.balances
            plan = plan_group(works, before, value, room_bytes=room, script_sig_bytes=4 + 13 + 4)
            check_plan(plan, before, room)
            if rng.random() < 0.2:  # the block is found, and lost again in a reorganization
                account.apply("group_settled", settled(plan.carried(), account.number + 1))
                undo = {member: -sats for member, sats in plan.carried().items()}
                account.apply("group_settled", settled(undo, account.number + 1))
                assert account.balances == before
            account.apply("group_settled", settled(plan.carried(), account.number + 1))
            for member in members:
                paid_ever[member] += plan.paid.get(member, 0)
                earned_ever[member] += plan.shares.get(member, 0)
                assert earned_ever[member] - paid_ever[member] == account.balances.get(member, 0)
            assert sum(account.balances.values()) == 0
            done += 1


def test_small_amounts_are_carried_over_until_they_can_be_paid() -> None:
    big, small = "0014" + "00" * 20, "0014" + "01" * 20
    account = Account({}, 1000)
    payments = []
    for number in range(1, 5):
        plan = plan_group({big: 9999, small: 1}, account.balances, 1_000_000, room_bytes=255, script_sig_bytes=21)
        account.apply("group_settled", settled(plan.carried(), number))
        payments.append(plan.paid.get(small, 0))
    assert payments == [0, 0, 300, 0]


def test_a_group_without_work_or_room() -> None:
    with pytest.raises(PayoutError, match="nobody in the group has proven work"):
        plan_group({}, {}, 5000, room_bytes=255, script_sig_bytes=21)
    with pytest.raises(PayoutError, match="no payout fits"):
        plan_group({"0014" + "00" * 20: 1}, {}, 5000, room_bytes=100, script_sig_bytes=21)


# The account

MEMBERS = st.sampled_from(["0014" + f"{number:02x}" * 20 for number in range(6)])
CREDITS = st.dictionaries(MEMBERS, st.integers(1, 10**30).map(str), min_size=1)


@given(st.lists(st.tuples(CREDITS, st.integers(1, 10**30))), st.integers(1, 5000))
def test_an_account_goes_on_from_its_state_as_json(lines: list[tuple[dict[str, str], int]], milli_units: int) -> None:
    account, again = Account({}, milli_units), Account({}, milli_units)
    for number, (credits, network_work) in enumerate(lines, 1):
        line = {"number": number, "credits": credits, "network_work": str(network_work)}
        account.apply("group_work", line)
        again = Account(json.loads(json.dumps(again.state())), milli_units)
        again.apply("group_work", line)
        assert again.state() == account.state()
        works = account.window.works()
        assert sum(works.values()) <= max(milli_units * network_work // 1000, 0)
        assert all(work > 0 for work in works.values())


def test_lines_that_do_not_follow_are_refused() -> None:
    account = Account({}, 1000)
    with pytest.raises(BadValue, match="group line 2 follows line 0"):
        account.apply("group_settled", settled({}, 2))
    with pytest.raises(BadValue, match="does not sum to zero"):
        account.apply("group_settled", settled({"0014": 1}, 1))
    assert account.state() == Account({}, 1000).state()


@pytest.mark.parametrize(
    "state",
    [
        {"balances": {"0014": 5}},
        {"members": ["0014"], "buckets": [[[0, "-1"]]]},
        {"members": ["0014"], "buckets": [[[1, "1"]]]},
        {"members": ["no hex"], "buckets": [[[0, "1"]]]},
        {"members": ["0014"], "buckets": [[[0, "one"]]]},
        {"buckets": 7},
    ],
)
def test_what_is_no_state_of_an_account_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        Account(state, 1000)


A, B = "0014" + "aa" * 20, "0014" + "bb" * 20
STANDING = [(A, "300", -50), (B, "100", 50)]


@pytest.mark.parametrize(
    "outputs",
    [
        [(A, 700), (B, 300), ("0014" + "cc" * 20, 0)],
        [(A, 690), (B, 310)],
        [(A, 500), (A, 500)],
        [("0014" + "cc" * 20, 1000)],
    ],
)
def test_the_guard_stops_payouts_that_are_not_the_groups(outputs: list[tuple[str, int]]) -> None:
    check_group([(bytes.fromhex(A), 700), (bytes.fromhex(B), 300)], STANDING, 1000)
    with pytest.raises(TemplateError, match="the outputs are not the group's"):
        check_group([(bytes.fromhex(script), sats) for script, sats in outputs], STANDING, 1000)


# The window


def test_the_window_holds_the_last_work() -> None:
    """Against a list of single shares; what a bucket blurs is at most a 256th of the window."""
    rng = random.Random(3)
    window, shares = Window(2000), []
    for _ in range(20_000):
        member, work = rng.choice("abc"), rng.randrange(1, 200)
        shares.append((member, work))
        window.credit(member, work, network_work=100_000)
        assert window.total <= 200_000
    exact = dict.fromkeys("abc", 0)
    left = 200_000
    for member, work in reversed(shares):
        exact[member] += min(work, left)
        left -= min(work, left)
    works = window.works()
    assert sum(works.values()) == window.total > 200_000 - 4
    assert all(abs(works[member] - exact[member]) <= 2 * (200_000 // BUCKETS + 200) for member in "abc")
    assert len(window.buckets()) <= BUCKETS + 2


def test_the_window_follows_the_networks_difficulty() -> None:
    window = Window(1000)
    for _ in range(1000):
        window.credit("a", 10, 5000)
    assert window.total == 5000
    window.credit("b", 10, 1000)
    assert window.total <= 1000
    assert window.works()["b"] == 10
    for _ in range(1000):
        window.credit("b", 10, 8000)
    assert window.works() == {"b": 8000}


def test_the_window_can_be_recomputed_from_its_record() -> None:
    rng = random.Random(4)
    window = Window(500)
    for _ in range(500):
        window.credit(rng.choice("abcd"), rng.randrange(1, 50), 3000)
    again = Window(500, window.buckets())
    for _ in range(500):
        member, work = rng.choice("abcd"), rng.randrange(1, 50)
        window.credit(member, work, 3000)
        again.credit(member, work, 3000)
    assert again.buckets() == window.buckets()
    assert again.works() == window.works()
