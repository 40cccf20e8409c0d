"""Group solo: friends mine together, and a block pays each in proportion to the work he has proven.

The work that counts is that of a window (PPLNS) as long as a multiple of the network's difficulty; a block does not
empty it, so it never pays to come or go at a certain time. Amounts too small to be paid, or for which the coinbase has
no room, are carried over: who holds them for the others is paid less at the next block. All numbers are integers and
every step is deterministic, so anybody can recompute his share from the records.

A member is the scriptPubKey that he is paid at, in hex. Work is in expected hashes (`chain.target.expected_hashes` of a
share's target); in documents it is decimal text, since it exceeds what readers of JSON hold exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from solominer.chain.transaction import TxOut
from solominer.errors import BadValue, PayoutError
from solominer.work.payout import coinbase_bytes, dust_sats, output_bytes

BUCKETS = 256


class Window:
    """The last work of a group: at most `milli_units` / 1000 times what a block takes on average.

    It is kept in buckets of a 256th of the window, so that memory is bounded; what falls out of the oldest bucket is
    taken from all in it in proportion.
    """

    def __init__(self, milli_units: int, buckets: Iterable[Mapping[str, int]] = ()) -> None:
        self.milli_units = milli_units
        self._buckets: deque[dict[str, int]] = deque(dict(bucket) for bucket in buckets)
        self._totals = deque(sum(bucket.values()) for bucket in self._buckets)
        self.total = sum(self._totals)

    def credit(self, member: str, work: int, network_work: int) -> None:
        """A share of `member`; `network_work` is what a block takes on average at the present difficulty."""
        size = self.milli_units * network_work // 1000
        if not self._buckets or self._totals[-1] * BUCKETS >= size:
            self._buckets.append({})
            self._totals.append(0)
        bucket = self._buckets[-1]
        bucket[member] = bucket.get(member, 0) + work
        self._totals[-1] += work
        self.total += work
        self._trim(size)

    def works(self) -> dict[str, int]:
        """The work of each member in the window."""
        works: dict[str, int] = {}
        for bucket in self._buckets:
            for member, work in bucket.items():
                works[member] = works.get(member, 0) + work
        return works

    def buckets(self) -> list[dict[str, int]]:
        """The whole state, oldest first; the constructor takes it back."""
        return [dict(bucket) for bucket in self._buckets]

    def _trim(self, size: int) -> None:
        while self.total > size and self.total - self._totals[0] >= size:
            self.total -= self._totals.popleft()
            self._buckets.popleft()
        if self.total > size and self._buckets:
            before = self._totals[0]
            keep = before - (self.total - size)
            cut = {member: work * keep // before for member, work in self._buckets[0].items()}
            self._buckets[0] = {member: work for member, work in cut.items() if work}
            self._totals[0] = sum(cut.values())
            self.total -= before - self._totals[0]


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What one block would pay, and why: enough to check it.

    `shares` is each member's part of this block, `paid` what its coinbase pays; they differ by what is carried over.
    """

    value_sats: int
    works: dict[str, int]
    shares: dict[str, int]
    paid: dict[str, int]
    outputs: tuple[TxOut, ...]

    def carried(self) -> dict[str, int]:
        """How the block changes each balance, if it is found; sums to zero. Above zero: still to be paid."""
        members = sorted(self.shares.keys() | self.paid.keys())
        changes = {member: self.shares.get(member, 0) - self.paid.get(member, 0) for member in members}
        return {member: change for member, change in changes.items() if change}


def plan_group(
    works: Mapping[str, int],
    balances: Mapping[str, int],
    value_sats: int,
    *,
    room_bytes: int,
    script_sig_bytes: int,
) -> GroupPlan:
    """The payouts of a block of `value_sats`; `room_bytes` is the longest coinbase that the client takes.

    `balances` are what is carried over, summing to zero. Raises PayoutError if nobody has proven work or nobody fits.
    """
    total = sum(works.values())
    if total <= 0:
        raise PayoutError("nobody in the group has proven work yet", "mine until the first share is accepted")
    shares = {member: value_sats * work // total for member, work in works.items()}
    first = min(works, key=lambda member: (-works[member], member))
    shares[first] += value_sats - sum(shares.values())
    due = {member: shares.get(member, 0) + balances.get(member, 0) for member in shares.keys() | balances.keys()}
    order = sorted(due, key=lambda member: (-due[member], member))
    chosen: list[str] = []
    used = coinbase_bytes((), script_sig_bytes)
    for member in order:
        script = bytes.fromhex(member)
        count_bytes = 2 if len(chosen) + 2 >= 0xFD else 0
        fits = used + output_bytes(script) + count_bytes <= room_bytes
        if fits and (not chosen or due[member] >= dust_sats(script)):
            chosen.append(member)
            used += output_bytes(script)
    if not chosen:
        raise PayoutError(f"no payout fits a coinbase of {room_bytes} bytes", "shorten coinbase_tag")
    paid = _balance(chosen, due, {member: dust_sats(bytes.fromhex(member)) for member in chosen}, value_sats)
    outputs = tuple(TxOut(amount, bytes.fromhex(member)) for member, amount in paid.items())
    return GroupPlan(value_sats, dict(works), shares, paid, outputs)


def _balance(chosen: list[str], due: Mapping[str, int], least: Mapping[str, int], value_sats: int) -> dict[str, int]:
    """Payments of the chosen members that sum to the value: the first one gets what others are not paid now.

    Where others owe more than they are due, the chosen are paid less, the largest first, but nobody below his least.
    """
    paid = {member: due[member] for member in chosen}
    rest = value_sats - sum(paid.values())
    while rest < 0:
        for member in paid:
            cut = min(-rest, max(0, paid[member] - least[member]))
            paid[member] -= cut
            rest += cut
        if rest < 0 and len(paid) > 1:
            rest += paid.popitem()[1]
        elif rest < 0:
            break
    paid[next(iter(paid))] += rest
    return paid


class Account:
    """The books of a group: its window, and the balances that are carried over, which sum to zero at any time.

    They change by lines of two kinds: `group_work` (`credits`: work by member, `network_work`) and `group_settled`
    (`carried`: satoshis by member). Each line has the `number` that the account has after it.
    """

    def __init__(self, state: Mapping[str, Any], milli_units: int) -> None:
        """From `state()`, or {} for a new one. Raises LookupError, TypeError or ValueError for what is no state."""
        members = state.get("members", [])
        buckets = [{members[index]: int(work) for index, work in bucket} for bucket in state.get("buckets", [])]
        self.window = Window(milli_units, buckets)
        self.balances: dict[str, int] = {member: int(sats) for member, sats in state.get("balances", {}).items()}
        self.number = int(state.get("number", 0))
        if sum(self.balances.values()) or any(work <= 0 for bucket in buckets for work in bucket.values()):
            raise ValueError("the balances do not sum to zero, or work is not above zero")
        for member in {*members, *self.balances}:
            bytes.fromhex(member)

    def apply(self, kind: str, line: Mapping[str, Any]) -> None:
        """Raises BadValue if another line is missing before this one; LookupError, TypeError or ValueError as above."""
        if line["number"] != self.number + 1:
            raise BadValue(f"group line {line['number']} follows line {self.number}")
        if kind == "group_work":
            for member, work in sorted(line["credits"].items()):
                self.window.credit(member, int(work), int(line["network_work"]))
        else:
            if sum(line["carried"].values()):
                raise BadValue("what a block carries over does not sum to zero")
            members = self.balances | line["carried"]
            sums = {member: self.balances.get(member, 0) + line["carried"].get(member, 0) for member in members}
            self.balances = {member: sats for member, sats in sums.items() if sats}
        self.number += 1

    def state(self) -> dict[str, Any]:
        """The whole account as JSON values; buckets name members by their place in `members`."""
        members = sorted(self.window.works())
        place = {member: index for index, member in enumerate(members)}
        buckets = [
            [[place[member], str(work)] for member, work in sorted(bucket.items())] for bucket in self.window.buckets()
        ]
        balances = dict(sorted(self.balances.items()))
        return {"number": self.number, "members": members, "buckets": buckets, "balances": balances}
