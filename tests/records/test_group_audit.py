"""Both verifiers recompute a group's payouts from the ledger, and every line that was changed is noticed by both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from solominer.engines.stratum.group import GroupBooks
from solominer.records.evidence.findings import VerifyResult
from solominer.records.evidence.group import GroupAudit
from solominer.records.tree import Part, Tree
from solominer.work.found import BlockState
from tests.engines.stratum.builders import make_work
from tests.records.standalone import check_group

PARTS = (Part.at(1_800_000_000), Part.at(1_800_003_600))
A, B, C = ("0014" + each * 20 for each in ("aa", "bb", "cc"))
FIRST, SECOND = "11" * 32, "22" * 32
Entry = dict[str, Any]


def named(wrong: list[str]) -> set[str]:
    """File and line of each finding."""
    return {": ".join(finding.split(": ")[:2]) for finding in wrong}


class Records:
    """Two hours of a group: work, a block that is booked, lost and booked again, and a restart between."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "regtest"
        self.entries: list[list[Entry]] = [[], []]
        self._hour = 0
        self.books: GroupBooks
        self.start()
        self.mine(FIRST)
        for state in (BlockState.ACCEPTED, BlockState.STALE, BlockState.ACCEPTED):
            self.books.block_state(FIRST, state)
        self.mine("")
        self._hour = 1
        self.start()
        self.mine(SECOND)
        self.books.block_state(SECOND, BlockState.ACCEPTED)

    def start(self) -> None:
        self.books = GroupBooks(self.root / "stratum-group.json", 2000, self.note)
        self.books.open()

    def mine(self, hash_hex: str) -> None:
        self.books.credit({A: "300", B: "200", C: "1"})
        work = make_work(group=self.books.standing(2**247))
        self.books.flush()
        if hash_hex:
            self.books.found(hash_hex, work, 200)  # room for two of the three

    def note(self, kind: str, fields: Mapping[str, Any]) -> None:
        line = {"seq": len(self.entries[0]) + len(self.entries[1]) + 1, "kind": kind, **json.loads(json.dumps(fields))}
        self.entries[self._hour].append(line)

    def audit(self, parts: tuple[Part, ...] = PARTS) -> VerifyResult:
        for part, entries in zip(PARTS, self.entries, strict=True):
            folder = self.root / "ledger" / part.path
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "ledger.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        result = VerifyResult()
        audit = GroupAudit(Tree(self.root), result)
        for part in parts:
            audit.hour(part)
        self.alone = check_group(self.root, [part.path for part in parts])
        assert named(self.alone) == {f"{path}: {reason.partition(': ')[0]}" for path, reason in result.wrong}
        return result

    def first(self, kind: str, hour: int = 0) -> Entry:
        return next(entry for entry in self.entries[hour] if entry["kind"] == kind)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def test_what_was_recorded_holds(records: Records) -> None:
    result = records.audit()
    assert result.wrong == []
    assert result.checked["{n} change(s) of a group's account"] == 7
    assert result.checked["{n} group block(s): payouts recomputed from the work"] == 2
    assert result.checked["{n} group account(s) match the preceding lines"] == 1
    assert result.unchecked == {"{n} group block(s) without a proof in their hour": 2}


def test_an_hour_can_be_checked_alone(records: Records) -> None:
    result = records.audit(PARTS[1:])
    assert result.wrong == []
    assert result.checked["{n} group block(s): payouts recomputed from the work"] == 1


def test_hours_without_a_group_say_nothing(tmp_path: Path) -> None:
    result = VerifyResult()
    GroupAudit(Tree(tmp_path), result).hour(PARTS[0])
    assert not result.checked
    assert not result.unchecked


def test_lines_that_a_crash_took_are_said(records: Records) -> None:
    del records.entries[0][-1]
    result = records.audit()
    assert result.wrong == []
    assert result.unchecked["{n} group account(s) after a crash: preceding lines are missing"] == 1


def a_satoshi(entry: Entry, field: str) -> None:
    one, other = list(entry[field])[:2]
    entry[field][one] -= 1
    entry[field][other] = entry[field].get(other, 0) + 1


CHANGES: dict[str, tuple[Callable[[Records], object], str]] = {
    "paid": (lambda r: a_satoshi(r.first("group_block"), "paid"), "do not match the group's work"),
    "shares": (lambda r: a_satoshi(r.first("group_block"), "shares"), "do not match the group's work"),
    "value": (lambda r: r.first("group_block").update(value_sats=1), "do not match the group's work"),
    "credits": (lambda r: r.first("group_work")["credits"].update({A: "301"}), "does not match the group's account"),
    "credits of a later line": (
        lambda r: r.entries[0][-1]["credits"].update({A: "301"}),
        "does not match the preceding lines",
    ),
    "carried": (lambda r: a_satoshi(r.first("group_settled"), "carried"), "carried amounts differ"),
    "a line removed": (lambda r: r.entries[0].remove(r.first("group_settled")), "group line 3 follows line 1"),
    "account": (
        lambda r: r.first("group_account", 1)["balances"].update({A: 0, B: 0, C: 0}),
        "does not match the preceding lines",
    ),
    "older account": (lambda r: r.first("group_account", 1).update(number=1), "is older than the previous one"),
    "later account": (
        lambda r: r.first("group_block").update(number=9),
        "is paid by line 9 of the account, which comes later",
    ),
    "no account": (lambda r: r.first("group_account").update(balances={A: 1}), "do not sum to zero"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_noticed(records: Records, name: str) -> None:
    change, problem = CHANGES[name]
    change(records)
    assert problem in " ".join(reason for _, reason in records.audit().wrong)


def test_a_line_before_any_account_is_not_checked(records: Records) -> None:
    records.entries[0].pop(0)
    assert records.audit().unchecked["{n} group line(s) before the first `group_account`"] > 0


UNBOUND = ("seq", "hash", "height", "window_milli", "network_work", "room_bytes", "script_sig_bytes")
"""What nothing follows from in the group's lines alone, or nothing here: the hash of the file tells that it changed."""


def test_every_changed_digit_is_noticed_by_both(records: Records) -> None:
    """Without the hash of the file, as for someone who seals his records anew after he changed them."""
    tried = 0
    for hour, place, text in [(h, p, json.dumps(e)) for h in (0, 1) for p, e in enumerate(records.entries[h])]:
        before = records.entries[hour][place]
        for at in [at for at, character in enumerate(text) if character.isdigit()][place::5]:
            changed = json.loads(text[:at] + str((int(text[at]) + 1) % 10 or 1) + text[at + 1 :])
            records.entries[hour][place] = changed
            noticed = bool(records.audit().wrong)
            bound = any(changed[name] != before[name] for name in before if name not in UNBOUND)
            assert noticed or not bound, (before["kind"], changed)
            tried += bound
        records.entries[hour][place] = before
    assert tried > 50


@pytest.mark.parametrize("seed", range(8))
def test_both_come_to_the_payouts_of_any_group(tmp_path: Path, seed: int) -> None:
    """Many members, little room, a window that moves on, members that owe each other, blocks that leave the chain."""
    random = Random(seed)
    records = Records(tmp_path)
    kinds = ("0014", "0020", "5120")
    members = [random.choice(kinds) + random.randbytes(32).hex() for _ in range(random.randrange(1, 14))]
    blocks: list[str] = []
    for number in range(60):
        records.books.credit({member: str(random.randrange(1, 200)) for member in random.sample(members, 1)})
        work = make_work(
            coinbase_value=random.choice((1000, 50_000, 312_500_000)), group=records.books.standing(2**248)
        )
        records.books.flush()
        if random.random() < 0.4:
            blocks.append(f"{number:064x}")
            records.books.found(blocks[-1], work, random.randrange(200, 600))
        if blocks:
            records.books.block_state(random.choice(blocks), random.choice((BlockState.ACCEPTED, BlockState.STALE)))
    result = records.audit()
    assert result.wrong == []
    assert result.checked["{n} group block(s): payouts recomputed from the work"] > 10
