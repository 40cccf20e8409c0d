"""The books of a group that mines at the Stratum server: what is proven and paid, in the ledger and in a file.

The file keeps the account over restarts. Each change is a line of the ledger, with the whole account at the start of a
run and in each hour, so that whoever has the records can recompute every payout (`records.evidence.group`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from solominer.chain.target import expected_hashes
from solominer.engines.stratum.jobs import plan_of, script_sig_bytes
from solominer.engines.stratum.work import Standing, Work
from solominer.errors import BadValue, EngineError, PayoutError
from solominer.records.files import read_bounded
from solominer.records.formats import OtherVersion, decode_file
from solominer.records.tree import HOUR_SECS, atomic_write
from solominer.work.found import BlockState
from solominer.work.group import Account

FORMAT = "solominer-stratum-group/1"
SAVE_SECS = 10.0
MOST_OPEN = 1024
"""Blocks whose state may still change; beyond, the oldest is forgotten."""

_PAID = (BlockState.ACCEPTED, BlockState.CONFIRMED, BlockState.MATURE)
_LOST = (BlockState.STALE, BlockState.REJECTED, BlockState.SUPERSEDED)
_BAD = (OSError, LookupError, TypeError, ValueError, AttributeError, BadValue, msgspec.MsgspecError)

log = logging.getLogger(__name__)


class _OpenBlock(msgspec.Struct):
    """What a found block of the group carries over, and whether that is booked."""

    carried: dict[str, int]
    booked: bool = False


class _File(msgspec.Struct):
    """`pending` is work that is not in the account yet, by member."""

    account: dict[str, Any]
    pending: dict[str, str] = {}
    blocks: dict[str, _OpenBlock] = {}
    format: str = FORMAT


class GroupBooks:
    """The account of the group, kept in `path`; `note` writes a line of the ledger."""

    def __init__(self, path: Path, milli_units: int, note: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._path, self._milli_units, self._note = path, milli_units, note
        self._account = Account({}, milli_units)
        self._pending: dict[str, int] = {}
        self._blocks: dict[str, _OpenBlock] = {}
        self._lines: list[tuple[str, dict[str, Any]]] = []
        self._saved_mono = 0.0
        self._failing = False
        self._hour = -1

    def open(self) -> None:
        """Read the file. Raises EngineError if it cannot be used: it says who is owed what, so it is not begun anew."""
        try:
            file = decode_file(read_bounded(self._path), _File, FORMAT)
            self._account = Account(file.account, self._milli_units)
            self._pending = {member: int(work) for member, work in file.pending.items()}
            self._blocks = file.blocks
        except FileNotFoundError:
            log.info("the group begins a new account: %s", self._path)
        except OtherVersion as error:
            raise EngineError(
                f"the group's account {self._path} cannot be used: {error.what}",
                "use the newest version that was used here; it says who is owed what",
            ) from error
        except _BAD as error:
            raise EngineError(
                f"the group's account {self._path} cannot be read: {error!s:.200}",
                "restore it from a backup, or move it away to begin a new account",
            ) from error

    def credit(self, credits: Mapping[str, str]) -> None:
        """Work that members have proven; it counts from the next job on."""
        for member, work in credits.items():
            self._pending[member] = self._pending.get(member, 0) + int(work)
        if time.monotonic() - self._saved_mono >= SAVE_SECS:
            self.save()

    def standing(self, target: int) -> Standing:
        """The standing that a new job on the network's `target` pays by; all work up to now is added to the account.

        Nothing is written before `flush`, so that the job need not wait for the disk.
        """
        if (hour := int(time.time() // HOUR_SECS)) != self._hour:
            self._hour = hour
            self._lines.append(("group_account", {"window_milli": self._milli_units, **self._account.state()}))
        if self._pending:
            credits = {member: str(work) for member, work in sorted(self._pending.items())}
            self._pending = {}
            self._change("group_work", {"credits": credits, "network_work": str(expected_hashes(target))})
        works, balances = self._account.window.works(), self._account.balances
        members = sorted(works.keys() | balances.keys())
        return Standing(
            self._account.number,
            tuple((member, str(works.get(member, 0)), balances.get(member, 0)) for member in members),
        )

    def found(self, hash_hex: str, work: Work, room_bytes: int) -> None:
        """A miner of the group found a block of `work`: record how it is paid."""
        standing = work.group
        if standing is None or not standing.works or hash_hex in self._blocks:
            return  # paid as configured, or found twice
        try:
            plan = plan_of(work, room_bytes)
        except PayoutError as error:
            log.error("the group's block %s is not in its account: %s", hash_hex, error.what)
            return
        self._blocks[hash_hex] = _OpenBlock(plan.carried())
        while len(self._blocks) > MOST_OPEN:
            del self._blocks[next(iter(self._blocks))]
        fields = {
            "hash": hash_hex,
            "height": work.height,
            "number": standing.number,
            "value_sats": work.coinbase_value,
            "room_bytes": room_bytes,
            "script_sig_bytes": script_sig_bytes(work),
            "works": {member: str(proven) for member, proven in standing.works.items()},
            "balances": standing.balances,
            "shares": plan.shares,
            "paid": plan.paid,
        }
        self._lines.append(("group_block", fields))
        self.flush()

    def block_state(self, hash_hex: str, state: BlockState) -> None:
        """Book what a block carries over when it is on the chain, and undo that when it leaves it."""
        block = self._blocks.get(hash_hex)
        if block is None:
            return
        final = state in (BlockState.MATURE, BlockState.REJECTED)
        if (state in _PAID and not block.booked) or (state in _LOST and block.booked):
            sign = -1 if block.booked else 1
            block.booked = not block.booked
            carried = {member: sign * sats for member, sats in block.carried.items()}
            if final:
                del self._blocks[hash_hex]
            self._change("group_settled", {"hash": hash_hex, "state": state.value, "carried": carried})
            self.flush()
        elif final:
            del self._blocks[hash_hex]

    def flush(self) -> None:
        """Write the new lines, behind the file: after a crash the ledger may lack lines, the account does not."""
        if self._lines:
            self.save()
        for kind, fields in self._lines:
            self._note(kind, fields)
        self._lines = []

    def save(self) -> None:
        """Replace the file."""
        self._saved_mono = time.monotonic()
        pending = {member: str(work) for member, work in self._pending.items()}
        file = _File(self._account.state(), pending, self._blocks)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._path, msgspec.json.encode(file))
        except OSError as error:
            if not self._failing:
                log.error("the group's account is not kept on disk: %s; it is tried again", error)
            self._failing = True
        else:
            self._failing = False

    def _change(self, kind: str, fields: dict[str, Any]) -> None:
        line = {"number": self._account.number + 1, **fields}
        self._account.apply(kind, line)
        self._lines.append((kind, line))
