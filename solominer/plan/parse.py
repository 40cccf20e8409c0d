"""plan.yaml -> SearchPlan: keys and types are validated, missing parameters derived, and all pre checks run.

Derivation: a parameter that an order takes and the file omits comes from draw = SHA-256 of the text `bitload/name`,
read as a big-endian number:
  stride      1 + draw mod the integer square root of chunks
  start       draw mod chunks
  increment   the first number from draw mod chunks upwards that is coprime to chunks
  multiplier  1 + s * (1 + draw mod (chunks // s - 1)), s being the smallest step that theorem A allows; 1 if none fits
  seed        draw mod 2**64
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

import yaml

from solominer.errors import PlanError
from solominer.plan.orders import ORDERS, multiplier_step
from solominer.plan.plan import BIP320_BITS, BITLOAD, ENGINE, MODES, Families, Lanes, Palette, SearchPlan, Strides

# The checks that a file may list. All of them always run; an incomplete list is refused, since it would mislead its
# reader into thinking that a check is off.
PRE_CHECKS = {
    "families": ("engines-distinct", "space-covered-once"),
    "lanes": ("kernel-can-run",),
    "strides": ("full-period", "chunks-covered-once"),
    "palette": ("inside-mask",),
    "sandbox": ("modes-known", "each-mode-valid"),
}
POST_CHECKS = {
    "families": ("same-plan", "owned-once"),
    "lanes": ("counters-agree",),
    "strides": ("chunks-owed", "none-twice"),
    "palette": ("inside-palette",),
    "sandbox": ("mode-kept",),
}
USES = {order: parameters for order, (_, parameters) in ORDERS.items()}
_DEALS = ("interleaved", "blocks")
_PALETTE_ORDERS = ("counting", "gray", "reversed")
_MAIN_KEYS = {
    "families": {"engines", "deal", "extranonce_bits"},
    "lanes": {"lanes", "midstates", "chunk_nonces"},
    "strides": {"order", "stride", "multiplier", "increment", "start", "seed"},
    "palette": {"bits", "order"},
}


def parse_plan(source: str | Mapping[str, Any], mode: str = "main") -> SearchPlan:
    """The plan for `mode` from the text of plan.yaml (or its parsed mapping); an empty text is the default plan.

    All modes are checked, whichever is asked for. Raises PlanError with the group and the reason.
    """
    document = _document(source)
    _keys("plan", document, {"bitload", *PRE_CHECKS})
    bitload = _int("plan", "bitload", document.get("bitload", BITLOAD), 0)
    mains = {group: _main(group, document.get(group)) for group in PRE_CHECKS}
    sandbox = mains.pop("sandbox")
    if unknown := sorted(set(map(str, sandbox)) - set(MODES[1:])):
        raise PlanError("sandbox", f"unknown mode {unknown[0]!r}", f"known: {', '.join(MODES[1:])}")
    if mode not in MODES:
        raise PlanError("sandbox", f"unknown mode {mode!r}", f"known: {', '.join(MODES)}")
    plans = {"main": _build(mains, "main", bitload)}
    for name in MODES[1:]:
        overrides = _mapping("sandbox", sandbox.get(name))
        _keys("sandbox", overrides, set(mains))
        merged = {group: {**main, **_mapping("sandbox", overrides.get(group))} for group, main in mains.items()}
        if "order" in _mapping("sandbox", overrides.get("strides")):  # another order has parameters of its own
            merged["strides"] = dict(overrides["strides"])
        try:
            plans[name] = _build(merged, name, bitload)
        except PlanError as error:
            raise PlanError("sandbox", f"mode {name}: {error.group}: {error.reason}", error.todo) from error
    return plans[mode]


def plan_of_facts(facts: Any) -> SearchPlan:
    """The inverse of `SearchPlan.facts`, for untrusted input. Raises PlanError if plan.yaml could not describe it."""
    content = _mapping("plan", facts)
    _keys("plan", content, {"families", "chunk_nonces", "strides", "palette", "nonce_space"})
    strides = {name: value for name, value in _mapping("strides", content.get("strides")).items() if value is not None}
    plan = parse_plan(
        {
            "families": {"main": content.get("families")},
            "lanes": {"main": {"chunk_nonces": content.get("chunk_nonces")}},
            "strides": {"main": strides},
            "palette": {"main": content.get("palette")},
        }
    )
    if plan.derived:
        raise PlanError("strides", f"{plan.derived[0]} is missing")
    if content.get("nonce_space") != plan.nonce_space:
        raise PlanError("plan", f"nonce_space must be {plan.nonce_space}, not {content.get('nonce_space')!r:.40}")
    return plan


def _build(mains: Mapping[str, Mapping[str, Any]], mode: str, bitload: int) -> SearchPlan:
    for group, known in _MAIN_KEYS.items():
        _keys(group, mains[group], known)
    plan = SearchPlan(
        _families(mains["families"]),
        _lanes(mains["lanes"]),
        Strides(order=_choice("strides", "order", mains["strides"].get("order", "sequential"), tuple(USES))),
        _palette(mains["palette"]),
        mode,
        bitload,
    )
    plan = _with_parameters(plan, mains["strides"])
    plan.order()  # raises PlanError unless the parameters make a permutation
    return plan


def _with_parameters(plan: SearchPlan, main: Mapping[str, Any]) -> SearchPlan:
    """The plan with its order's parameters, given or derived."""
    uses = USES[plan.strides.order]
    for name in main:
        if name != "order" and name not in uses:
            raise PlanError("strides", f"order {plan.strides.order} takes no {name}", f"remove {name}")
    given: dict[str, Any] = {name: _int("strides", name, main[name], 0) for name in uses if name in main}
    derived: dict[str, Any] = {name: derive(name, plan.chunks, plan.bitload) for name in uses if name not in main}
    return replace(plan, strides=replace(plan.strides, **given, **derived), derived=tuple(derived))


def derive(name: str, chunks: int, bitload: int) -> int:
    """The parameter `name` of an order of `chunks` chunks, derived from bitload (see this module's docstring)."""
    draw = int.from_bytes(sha256(f"{bitload}/{name}".encode()).digest(), "big")
    if name == "seed":
        return draw % (1 << 64)
    if name == "stride":
        return 1 + draw % math.isqrt(chunks)
    if name == "multiplier":
        step = multiplier_step(chunks)
        choices = chunks // step - 1
        return 1 + step * (1 + draw % choices) if choices > 0 else 1
    value = draw % chunks
    if name == "increment":
        while math.gcd(value, chunks) != 1:
            value += 1
    return value


def _families(main: Mapping[str, Any]) -> Families:
    if (engines := main.get("engines", [ENGINE])) != [ENGINE]:
        raise PlanError("families", f"engines is {engines!r:.80}", f"only [{ENGINE}] is supported")
    bits = _int("families", "extranonce_bits", main.get("extranonce_bits", 32), 1, 64)
    return Families(_choice("families", "deal", main.get("deal", "interleaved"), _DEALS), bits)


def _lanes(main: Mapping[str, Any]) -> Lanes:
    lanes = _auto("lanes", main.get("lanes", "auto"), 256)
    midstates = _auto("midstates", main.get("midstates", "auto"), 64)
    chunk = _int("lanes", "chunk_nonces", main.get("chunk_nonces", Lanes().chunk_nonces), 1 << 10, 1 << 32)
    if lanes and chunk % lanes:
        raise PlanError("lanes", f"chunk_nonces {chunk} is not a multiple of {lanes} lanes")
    return Lanes(lanes, midstates, chunk)


def _palette(main: Mapping[str, Any]) -> Palette:
    bits = [_int("palette", "bits", bit, 0, 31) for bit in _list("palette", "bits", main.get("bits", Palette().bits))]
    if outside := [bit for bit in bits if bit not in BIP320_BITS]:
        raise PlanError("palette", f"bit {outside[0]} is outside the BIP 320 mask, bits 13 to 28")
    if len(set(bits)) != len(bits):
        raise PlanError("palette", "a bit is listed twice")
    return Palette(tuple(bits), _choice("palette", "order", main.get("order", "counting"), _PALETTE_ORDERS))


def _document(source: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(source, str):
        return source
    try:
        return _mapping("plan", yaml.load(source, _StrictLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PlanError("plan", f"invalid YAML: {error}", "see plan.yaml.example") from error


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader that refuses duplicate keys; YAML forbids them, and PyYAML silently keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node. Raises ConstructorError for a duplicate key."""
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _main(group: str, value: Any) -> Mapping[str, Any]:
    """A group's main parameters, after checking that its lists of checks are complete."""
    content = _mapping(group, value)
    _keys(group, content, {"pre", "main", "post"})
    for when, known in (("pre", PRE_CHECKS[group]), ("post", POST_CHECKS[group])):
        named = _list(group, when, content.get(when, list(known)))
        for check in named:
            if check not in known:
                raise PlanError(group, f"unknown {when} check {check!r}", f"known: {', '.join(known)}")
        if missing := [check for check in known if check not in named]:
            reason = f"{when} omits {missing[0]!r}; checks cannot be disabled"
            raise PlanError(group, reason, "add it, or remove the list")
    return _mapping(group, content.get("main"))


def _keys(group: str, content: Mapping[str, Any], known: set[str]) -> None:
    for key in content:
        if key not in known:
            near = get_close_matches(str(key), known, 1, 0)
            raise PlanError(group, f"unknown key {key!r}", f"did you mean {near[0]!r}?" if near else "")


def _mapping(group: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PlanError(group, f"expected a mapping, not {value!r}")
    return value


def _list(group: str, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise PlanError(group, f"{name} must be a list, not {value!r}")
    return list(value)


def _int(group: str, name: str, value: Any, least: int, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(group, f"{name} must be an integer, not {value!r}")
    if value < least or (most is not None and value > most):
        raise PlanError(group, f"{name} is {value}, outside {least}..{'' if most is None else most}")
    return value


def _auto(name: str, value: Any, most: int) -> int:
    return 0 if value == "auto" else _int("lanes", name, value, 1, most)


def _choice(group: str, name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise PlanError(group, f"{name} is {value!r}", f"known: {', '.join(known)}")
    return str(value)
