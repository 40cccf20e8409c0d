"""Converts events to JSON values and back, generically by the type annotations of their classes.

A record (dataclass or NamedTuple) becomes the list of its fields in order, bytes become hex, enumerations their values.
Large data that no decision depends on is omitted: raw transactions (their sizes are kept, because the coordinator's
memory accounting uses them), their dependencies, and a restored block's raw bytes. Each transaction is written once;
later templates refer to its index in a table that writer and reader both keep.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from solominer.chain.networks import NETWORKS, Network, network_named
from solominer.errors import TemplateError
from solominer.work import events
from solominer.work.events import Event
from solominer.work.found import FoundBlock
from solominer.work.policy import Policy
from solominer.work.template import Template, TemplateTx

KINDS: dict[str, type[Event]] = {
    name: kind for name, kind in vars(events).items() if isinstance(kind, type) and Event in kind.__bases__
}
_MOST_TX_BYTES, _MOST_KNOWN = 4_000_000, 5_000_000


class _Unkept(str):
    """Placeholder for a raw transaction in hex of which only the length is known."""

    length = 0

    def __len__(self) -> int:
        return self.length


@cache
def _unkept(length: int) -> _Unkept:
    text = _Unkept()
    text.length = length
    return text


def _shape(kind: Any) -> tuple[tuple[str, Any], ...]:
    """Names and types of a record's fields, in order."""
    hints = typing.get_type_hints(kind, None, {"Policy": Policy})
    names = kind._fields if issubclass(kind, tuple) else [each.name for each in fields(kind)]
    return tuple((name, hints[name]) for name in names)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(name for name, _ in _shape(kind))


def canonical(value: Any) -> Any:
    """A value or action as comparable JSON values, without raw transactions.

    A template's transactions are replaced by their number, since `template_id` identifies them.
    """
    return value.name if isinstance(value, Network) else _plain(value, canonical, len)


def _plain(value: Any, encode: Callable[[Any], Any], transactions: Callable[[Sequence[TemplateTx]], Any]) -> Any:
    """`encode` is for the parts of the value, `transactions` for those of a template."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Template):
        return [transactions(value.transactions) if name == "transactions" else encode(getattr(value, name))
                for name in _names(Template)]  # fmt: skip
    if isinstance(value, FoundBlock):
        return [None if name == "block_hex" else encode(getattr(value, name)) for name in _names(FoundBlock)]
    if is_dataclass(value) or hasattr(value, "_fields"):
        kind: Any = type(value)
        return [encode(getattr(value, name)) for name in _names(kind)]
    if isinstance(value, Mapping):
        return [[str(key), encode(each)] for key, each in sorted(value.items())]
    if isinstance(value, tuple | list):
        return [encode(each) for each in value]
    raise TypeError(f"cannot encode {type(value).__name__}")


class Encoder:
    """Writes the events of one file."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], int] = {}

    def encode(self, value: Any) -> Any:
        """JSON values. Raises TypeError or ValueError for unsupported values."""
        return _name_of(value) if isinstance(value, Network) else _plain(value, self.encode, self._transactions)

    def _transactions(self, transactions: Sequence[TemplateTx]) -> list[Any]:
        """New transactions, and all indexes into the table, delta-coded (0: the index after the previous one)."""
        new, places, last = [], [], -1
        for tx in _readable(transactions):
            key = (tx.txid_le, tx.wtxid_le, len(tx.data_hex), tx.fee_sats, tx.sigops, tx.weight)
            place = self._known.get(key)
            if place is None:
                place = self._known[key] = len(self._known)
                wtxid = "" if tx.wtxid_le == tx.txid_le else tx.wtxid_le.hex()
                new.append([tx.txid_le.hex(), wtxid, len(tx.data_hex), tx.fee_sats, tx.sigops, tx.weight])
            places.append(place - last - 1)
            last = place
        return [new, places]


class Decoder:
    """Reads the values of an Encoder, in the same order."""

    def __init__(self) -> None:
        self._known: list[TemplateTx] = []
        self._readers: dict[Any, Callable[[Any], Any]] = {}

    def decode(self, kind: Any, raw: Any) -> Any:
        """The value of type `kind`. Raises ValueError or TypeError if `raw` does not match."""
        reader = self._readers.get(kind)
        if reader is None:
            reader = self._readers[kind] = self._reader(kind)
        return reader(raw)

    def _reader(self, kind: Any) -> Callable[[Any], Any]:
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if kind is Network:
            return lambda raw: network_named(_of(str, raw))
        if kind == Sequence[TemplateTx]:
            return self._transactions
        if origin in (types.UnionType, typing.Union):
            (some,) = (each for each in inner if each is not type(None))
            return lambda raw: None if raw is None else self.decode(some, raw)
        if origin in (tuple, list):
            return lambda raw: self._many(origin, inner, raw)
        if kind is bytes:
            return lambda raw: bytes.fromhex(_of(str, raw))
        if kind is float:
            return lambda raw: raw if type(raw) is int else _of(float, raw)
        if kind in (int, str, bool, list):
            return lambda raw: _of(kind, raw)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind
        return self._record_reader(kind)

    def _record_reader(self, kind: type) -> Callable[[Any], Any]:
        shape = _shape(kind)
        if kind is FoundBlock:
            shape = tuple((name, str | None if name == "block_hex" else each) for name, each in shape)

        def read(raw: Any) -> Any:
            _demand(isinstance(raw, list) and len(raw) == len(shape), raw)
            values = {name: self.decode(each, item) for (name, each), item in zip(shape, raw, strict=True)}
            if kind is FoundBlock:
                values["block_hex"] = ""
            return kind(**values)

        return read

    def _many(self, origin: Any, inner: tuple[Any, ...], raw: Any) -> Any:
        _demand(isinstance(raw, list), raw)
        if origin is list or inner[-1] is Ellipsis:
            return origin(self.decode(inner[0], each) for each in raw)
        return origin(self.decode(kind, each) for kind, each in zip(inner, raw, strict=True))

    def _transactions(self, raw: Any) -> tuple[TemplateTx, ...]:
        new, places = self._many(tuple, (list, list), raw)
        for txid, wtxid, length, fee, sigops, weight in new:
            _demand(0 <= _of(int, length) <= 2 * _MOST_TX_BYTES and len(self._known) < _MOST_KNOWN, length)
            txid_le = bytes.fromhex(_of(str, txid))
            wtxid_le = bytes.fromhex(_of(str, wtxid)) if wtxid else txid_le
            numbers = _of(int, fee), _of(int, sigops), _of(int, weight)
            self._known.append(TemplateTx(_unkept(length), txid_le, wtxid_le, *numbers, ()))
        transactions, last = [], -1
        for step in places:
            last += 1 + _of(int, step)
            _demand(0 <= last < len(self._known), step)
            transactions.append(self._known[last])
        return tuple(transactions)


def _readable(transactions: Iterable[TemplateTx]) -> Iterator[TemplateTx]:
    """The transactions before the first malformed one, which has the template withdrawn."""
    with suppress(TemplateError):
        yield from transactions


def _name_of(network: Network) -> str:
    if NETWORKS.get(network.name) != network:
        raise ValueError(f"{network.name} is not a known network")
    return network.name


def _of(kind: type, raw: Any) -> Any:
    _demand(type(raw) is kind, raw)
    return raw


def _demand(holds: bool, raw: Any) -> None:
    if not holds:
        raise ValueError(f"unexpected value {raw!r:.60}")
