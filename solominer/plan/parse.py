"""plan.yaml -> SearchPlan: known keys of the right kind, parameters given or derived, and every pre check passed.

The rule of derivation: a parameter that an order needs and the file does not give is drawn from SHA-256 over the text
`bitload/name`, the digest read as a big-endian number, and then fitted to the number of chunks:
  stride      1 + draw mod the integer square root of chunks
  start       draw mod chunks
  increment   the first number from draw mod chunks upwards that has no factor in common with chunks
  multiplier  1 + s * (1 + draw mod (chunks // s - 1)), s being the smallest step that theorem A allows; 1 if none fits
  seed        draw mod 2**64
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

import yaml

from solominer.errors import PlanError
from solominer.plan.orders import multiplier_step
from solominer.plan.plan import BIP320_BITS, BITLOAD, ENGINE, MODES, Families, Lanes, Palette, SearchPlan, Strides

# The checks that a file may spell out. All of them always run; a list that leaves one out is refused, because a file
# that seems to switch a check off would mislead its reader.
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
USES = {
    "sequential": (),
    "strided": ("stride",),
    "knuth": ("multiplier", "increment", "start"),
    "van-der-corput": (),
    "shuffled": ("seed",),
}
_DEALS = ("interleaved", "blocks")
_PALETTE_ORDERS = ("counting", "gray", "reversed")
_GROUP_TYPES = {"families": Families, "lanes": Lanes, "strides": Strides, "palette": Palette}


def parse_plan(source: str | Mapping[str, Any], mode: str = "main") -> SearchPlan:
    """The plan of a file's text (or its parsed mapping) for `mode`; an empty file is the default plan.

    Every mode in the sandbox is checked, whichever is asked for. Raises PlanError with the group and the reason.
    """
    document = _document(source)
    _keys("plan", document, {"bitload", *PRE_CHECKS})
    bitload = _int("plan", "bitload", document.get("bitload", BITLOAD), 0)
    mains = {group: _main(group, document.get(group)) for group in PRE_CHECKS}
    sandbox = mains.pop("sandbox")
    if unknown := sorted(set(map(str, sandbox)) - set(MODES[1:])):
        raise PlanError("sandbox", f"no mode is called {unknown[0]!r}", f"known are {', '.join(MODES[1:])}")
    if mode not in MODES:
        raise PlanError("sandbox", f"no mode is called {mode!r}", f"known are {', '.join(MODES)}")
    plans = {"main": _build(mains, "main", bitload)}
    for name in MODES[1:]:
        overrides = _mapping("sandbox", sandbox.get(name))
        _keys("sandbox", overrides, set(mains))
        merged = {group: {**main, **_mapping("sandbox", overrides.get(group))} for group, main in mains.items()}
        if "order" in _mapping("sandbox", overrides.get("strides")):  # the main order's parameters fit no other one
            merged["strides"] = dict(overrides["strides"])
        try:
            plans[name] = _build(merged, name, bitload)
        except PlanError as error:
            raise PlanError("sandbox", f"mode {name}: {error.group}: {error.reason}", error.todo) from error
    return plans[mode]


def plan_of_facts(facts: Any) -> SearchPlan:
    """The plan that `SearchPlan.facts` describes, from a proof that anybody may have written.

    Raises PlanError where it is no plan, or one that plan.yaml could not give.
    """
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
        raise PlanError(
            "plan", f"the nonces of a header are {plan.nonce_space}, not {content.get('nonce_space')!r:.40}"
        )
    return plan


def _build(mains: Mapping[str, Mapping[str, Any]], mode: str, bitload: int) -> SearchPlan:
    for group, kind in _GROUP_TYPES.items():
        _keys(
            group, mains[group], {*(field.name for field in fields(kind)), *{"families": ("engines",)}.get(group, ())}
        )
    plan = SearchPlan(
        _families(mains["families"]),
        _lanes(mains["lanes"]),
        Strides(order=_choice("strides", "order", mains["strides"].get("order", "sequential"), tuple(USES))),
        _palette(mains["palette"]),
        mode,
        bitload,
    )
    plan = _with_parameters(plan, mains["strides"])
    plan.order()  # raises where the parameters give no permutation
    return plan


def _with_parameters(plan: SearchPlan, main: Mapping[str, Any]) -> SearchPlan:
    """The plan with the parameters of its order, taken from the file or derived from bitload."""
    uses = USES[plan.strides.order]
    for name in main:
        if name != "order" and name not in uses:
            raise PlanError("strides", f"order {plan.strides.order} has no {name}", f"remove {name}")
    given: dict[str, Any] = {name: _int("strides", name, main[name], 0) for name in uses if name in main}
    derived: dict[str, Any] = {name: derive(name, plan.chunks, plan.bitload) for name in uses if name not in main}
    return replace(plan, strides=replace(plan.strides, **given, **derived), derived=tuple(derived))


def derive(name: str, chunks: int, bitload: int) -> int:
    """The parameter `name` of an order over so many chunks, from bitload by the rule at the top of this file."""
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
        raise PlanError("families", f"engines is {engines!r:.80}", f"only {ENGINE} searches by a plan: [{ENGINE}]")
    bits = _int("families", "extranonce_bits", main.get("extranonce_bits", 32), 1, 64)
    return Families(_choice("families", "deal", main.get("deal", "interleaved"), _DEALS), bits)


def _lanes(main: Mapping[str, Any]) -> Lanes:
    lanes = _auto("lanes", main.get("lanes", "auto"), 256)
    midstates = _auto("midstates", main.get("midstates", "auto"), 64)
    chunk = _int("lanes", "chunk_nonces", main.get("chunk_nonces", Lanes().chunk_nonces), 1 << 10, 1 << 32)
    if lanes and chunk % lanes:
        raise PlanError("lanes", f"a chunk of {chunk} nonces is no multiple of {lanes} lanes")
    return Lanes(lanes, midstates, chunk)


def _palette(main: Mapping[str, Any]) -> Palette:
    bits = [_int("palette", "bits", bit, 0, 31) for bit in _list("palette", "bits", main.get("bits", Palette().bits))]
    if outside := [bit for bit in bits if bit not in BIP320_BITS]:
        raise PlanError("palette", f"bit {outside[0]} is outside the BIP 320 mask, bits 13 to 28")
    if len(set(bits)) != len(bits):
        raise PlanError("palette", "a bit is listed twice, so that versions would be searched twice")
    return Palette(tuple(bits), _choice("palette", "order", main.get("order", "counting"), _PALETTE_ORDERS))


def _document(source: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(source, str):
        return source
    try:
        return _mapping("plan", yaml.load(source, _StrictLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PlanError("plan", f"not readable as YAML: {error}", "see plan.yaml.example") from error


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice; YAML forbids it, and PyYAML would keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node. Raises ConstructorError for a key given twice."""
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _main(group: str, value: Any) -> Mapping[str, Any]:
    """A group's main parameters, once its lists of checks are found complete."""
    content = _mapping(group, value)
    _keys(group, content, {"pre", "main", "post"})
    for when, known in (("pre", PRE_CHECKS[group]), ("post", POST_CHECKS[group])):
        named = _list(group, when, content.get(when, list(known)))
        for check in named:
            if check not in known:
                raise PlanError(group, f"{when} has no check {check!r}", f"known: {', '.join(known)}")
        if missing := [check for check in known if check not in named]:
            reason = f"{when} leaves out {missing[0]!r}, and checks cannot be switched off"
            raise PlanError(group, reason, "name it, or drop the list")
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
        raise PlanError(group, f"keys and values are expected, not {value!r}")
    return value


def _list(group: str, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise PlanError(group, f"{name} is a list, not {value!r}")
    return list(value)


def _int(group: str, name: str, value: Any, least: int, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(group, f"{name} is a whole number, not {value!r}")
    if value < least or (most is not None and value > most):
        raise PlanError(group, f"{name} is {value}, outside {least}..{'' if most is None else most}")
    return value


def _auto(name: str, value: Any, most: int) -> int:
    return 0 if value == "auto" else _int("lanes", name, value, 1, most)


def _choice(group: str, name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise PlanError(group, f"{name} is {value!r}", f"known: {', '.join(known)}")
    return str(value)
