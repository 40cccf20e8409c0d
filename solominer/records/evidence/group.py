"""Recomputes a group's payouts from the ledger: its account line by line, and what each of its blocks had to pay."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from solominer.chain.transaction import parse_transaction
from solominer.errors import DecodeError, PayoutError
from solominer.records.evidence.findings import VerifyResult
from solominer.records.ledger.jsonlines import MALFORMED, read_lines, read_object
from solominer.records.tree import Part, Tree
from solominer.work.group import Account, plan_group

_KEPT = 1024
"""Account states kept: blocks whose job is older than this many changes are not compared with the account."""

_BAD = (*MALFORMED, DecodeError, PayoutError)


class GroupAudit:
    """Follows a group's account through the hours of a tree, in order."""

    def __init__(self, tree: Tree, result: VerifyResult) -> None:
        self._tree, self._result = tree, result
        self._account: Account | None = None
        self._standings: OrderedDict[int, tuple[dict[str, int], dict[str, int]]] = OrderedDict()
        self._carried: dict[str, dict[str, int]] = {}

    def hour(self, part: Part) -> None:
        """Check the group's lines in an hour."""
        path = f"ledger/{part.path}/ledger.jsonl"
        for line in read_lines(self._tree.root / path):
            entry = line.value or {}
            if str(entry.get("kind", "")).startswith("group_"):
                try:
                    self._take(part, path, entry)
                except _BAD as error:
                    self._result.fail(path, f"line {entry.get('seq')}: {error!s:.200}")

    def _take(self, part: Part, path: str, entry: Mapping[str, Any]) -> None:
        kind = entry["kind"]
        if kind == "group_account":
            self._begin(path, entry)
        elif self._account is None:
            self._result.unchecked["{n} group line(s) before the first `group_account`"] += 1
        elif kind == "group_block":
            self._block(part, path, entry, self._account)
        elif kind in ("group_work", "group_settled"):
            known = self._carried.get(entry.get("hash", ""))
            if known is not None and entry["carried"] not in (known, {each: -sats for each, sats in known.items()}):
                raise ValueError(f"the carried amounts differ from those of block {entry['hash']}")
            self._account.apply(kind, entry)
            self._remember(self._account)
            self._result.checked["{n} change(s) of a group's account"] += 1

    def _begin(self, path: str, entry: Mapping[str, Any]) -> None:
        """Check the full account that begins a run or an hour."""
        stated = Account(entry, entry["window_milli"])
        before = self._account
        if before is not None and before.number == stated.number:
            self._result.expect(
                before.state() == stated.state(),
                "{n} group account(s) match the preceding lines",
                path,
                f"line {entry['seq']}: the group's account does not match the preceding lines",
            )
        elif before is not None and stated.number < before.number:
            self._result.fail(path, f"line {entry['seq']}: the group's account is older than the previous one")
        elif before is not None:
            self._result.unchecked["{n} group account(s) after a crash: preceding lines are missing"] += 1
        self._account = stated
        self._remember(stated)

    def _remember(self, account: Account) -> None:
        self._standings[account.number] = account.window.works(), account.balances
        while len(self._standings) > _KEPT:
            self._standings.popitem(last=False)

    def _block(self, part: Part, path: str, entry: Mapping[str, Any], account: Account) -> None:
        works = {member: int(work) for member, work in entry["works"].items()}
        balances = entry["balances"]
        plan = plan_group(
            works,
            balances,
            entry["value_sats"],
            room_bytes=entry["room_bytes"],
            script_sig_bytes=entry["script_sig_bytes"],
        )
        if plan.shares != entry["shares"] or plan.paid != entry["paid"]:
            raise ValueError(f"the payouts of block {entry['hash']} do not match the group's work")
        self._carried[entry["hash"]] = plan.carried()
        self._result.checked["{n} group block(s): payouts recomputed from the work"] += 1
        if entry["number"] > account.number:
            raise ValueError(
                f"block {entry['hash']} is paid by line {entry['number']} of the account, which comes later"
            )
        if entry["number"] not in self._standings:
            self._result.unchecked["{n} group block(s): the account at their jobs is not in these hours"] += 1
        elif (works, balances) != self._standings[entry["number"]]:
            raise ValueError(f"the work in block {entry['hash']} does not match the group's account")
        proof = read_object(self._tree.root / f"proofs/{part.path}/{entry['height']}-{entry['hash']}.json")
        if proof is None:
            self._result.unchecked["{n} group block(s) without a proof in their hour"] += 1
            return
        paid = parse_transaction(bytes.fromhex(proof["coinbase_hex"])).outputs[:-1]
        self._result.expect(
            paid == plan.outputs,
            "{n} group block(s): the coinbase contains the payouts",
            path,
            f"the coinbase of block {entry['hash']} does not match the payouts in the ledger",
        )
