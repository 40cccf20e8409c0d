"""Payouts of a group exact to the satoshi, read back by a reader that shares no code with the builder of coinbases.

SOLOMINER_PAYOUT_CASES sets the number of generated cases of each kind, 10,000 if it is not set.
"""

from __future__ import annotations

import os
import random

import pytest

from solominer.chain.coinbase import Coinbase, build_coinbase
from solominer.chain.transaction import TxOut
from solominer.engines.stratum.group import Balances, GroupPlan, Window, plan_group
from solominer.errors import PayoutError, TemplateError
from solominer.work.job_check import check_coinbase, read_coinbase
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
        height=height, payouts=outputs, coinbase_value=value, witness_root_le=ROOT, extranonce_size=12, tag=b"/x/"
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
        witness_root_le=ROOT,
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
                    witness_root_le=ROOT,
                    coinbase_value=value,
                    payouts=payouts,
                )


@pytest.mark.parametrize("size", range(0, 160, 7))
def test_a_short_coinbase_is_refused(size: int) -> None:
    whole = build(5000, (TxOut(5000, TAPROOT),)).stripped(bytes(12))
    with pytest.raises(TemplateError):
        read_coinbase(whole[:size])


# Groups


def check_plan(plan: GroupPlan, balances: dict[str, int], scripts: dict[str, bytes], room: int) -> None:
    """Whatever holds for every plan, recomputed from what the plan itself records."""
    assert sum(plan.shares.values()) == plan.value_sats
    total = sum(plan.works.values())
    largest = min(plan.works, key=lambda member: (-plan.works[member], member))
    for member, work in plan.works.items():
        rounding = len(plan.works) if member == largest else 0
        assert 0 <= plan.shares[member] - plan.value_sats * work // total <= rounding
    paid = read_back(plan.value_sats, plan.outputs)
    assert paid == [(scripts[member], sats) for member, sats in plan.paid.items()]
    assert sum(sats for _, sats in paid) == plan.value_sats
    assert len(build(plan.value_sats, plan.outputs).stripped(bytes(12))) <= room
    assert len(plan.paid) == 1 or all(sats >= dust_sats(scripts[member]) for member, sats in plan.paid.items())
    assert sum(plan.carried().values()) == 0
    after = {member: balances.get(member, 0) + plan.carried().get(member, 0) for member in scripts}
    due = {member: plan.shares.get(member, 0) + balances.get(member, 0) for member in scripts}
    assert all(after[member] == due[member] - plan.paid.get(member, 0) for member in scripts)


def test_groups_are_exact_over_many_blocks() -> None:
    rng = random.Random(2)
    done = 0
    while done < CASES:
        members = [f"m{i}" for i in range(rng.choice((1, 2, 3, 8, 40)))]
        scripts = {member: random_script(rng) for member in members}
        balances = Balances()
        paid_ever: dict[str, int] = dict.fromkeys(members, 0)
        earned_ever: dict[str, int] = dict.fromkeys(members, 0)
        for _ in range(20):
            active = [member for member in members if rng.random() < 0.8]
            works = {member: rng.choice((1, 10, 10**6, 10**12)) * rng.randrange(1, 100) for member in active}
            if not works:
                continue
            value = rng.choice((0, 100, rng.randrange(1000, 10**6), 312_500_000))
            room = rng.choice((165, 255, 255, 750, 6500))
            before = dict(balances.sats)
            plan = plan_group(works, before, scripts, value, room_bytes=room, script_sig_bytes=4 + 13 + 4)
            check_plan(plan, before, scripts, room)
            if rng.random() < 0.2:  # the block is found, and lost again in a reorganization
                balances.settle(plan)
                balances.settle(plan, undo=True)
                assert balances.sats == before
            balances.settle(plan)
            for member in members:
                paid_ever[member] += plan.paid.get(member, 0)
                earned_ever[member] += plan.shares.get(member, 0)
                assert earned_ever[member] - paid_ever[member] == balances.sats.get(member, 0)
            assert sum(balances.sats.values()) == 0
            done += 1


def test_small_amounts_are_carried_over_until_they_can_be_paid() -> None:
    scripts = {"big": b"\x00\x14" + bytes(20), "small": b"\x00\x14" + b"\1" * 20}
    balances = Balances()
    payments = []
    for _ in range(4):
        plan = plan_group(
            {"big": 9999, "small": 1}, balances.sats, scripts, 1_000_000, room_bytes=255, script_sig_bytes=21
        )
        balances.settle(plan)
        payments.append(plan.paid.get("small", 0))
    assert payments == [0, 0, 300, 0]


def test_a_group_without_work_or_room() -> None:
    scripts = {"a": b"\x00\x14" + bytes(20)}
    with pytest.raises(PayoutError, match="nobody in the group has proven work"):
        plan_group({}, {}, scripts, 5000, room_bytes=255, script_sig_bytes=21)
    with pytest.raises(PayoutError, match="no payout fits"):
        plan_group({"a": 1}, {}, scripts, 5000, room_bytes=100, script_sig_bytes=21)


def test_the_window_holds_the_last_work() -> None:
    """Against a list of single shares; what a bucket blurs is at most a 1024th of the window."""
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
    assert all(abs(works[member] - exact[member]) <= 2 * (200_000 // 1024 + 200) for member in "abc")
    assert len(window.buckets()) <= 1026


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
