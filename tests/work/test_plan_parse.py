"""plan.yaml: what is wrong is refused with the group and the reason, each kind of fault once; derivation is stable."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from solominer.errors import PlanError
from solominer.plan.orders import Knuth
from solominer.plan.parse import USES, derive, parse_plan, plan_of_facts
from solominer.plan.plan import BITLOAD, SearchPlan

BROKEN = [
    ("plan", "unknown key 'stride'", "stride: {}"),
    ("plan", "invalid YAML", "families: ["),
    ("plan", "given twice", "lanes: {main: {midstates: 1, midstates: 2}}"),
    ("plan", "expected a mapping", "- families"),
    ("plan", "bitload must be an integer", "bitload: many"),
    ("plan", "bitload is -1", "bitload: -1"),
    ("plan", "invalid YAML", "bitload: " + "9" * 5000),
    ("families", "unknown key 'mains'", "families: {mains: {}}"),
    ("families", "unknown key 'engine'", "families: {main: {engine: [cpu]}}"),
    ("families", "expected a mapping", "families: 3"),
    ("families", "engines is ['cpu', 'cpu']", "families: {main: {engines: [cpu, cpu]}}"),
    ("families", "engines is []", "families: {main: {engines: []}}"),
    ("families", "engines is 'cpu'", "families: {main: {engines: cpu}}"),
    ("families", "deal is 'random'", "families: {main: {deal: random}}"),
    ("families", "extranonce_bits is 65", "families: {main: {extranonce_bits: 65}}"),
    ("lanes", "lanes is 0", "lanes: {main: {lanes: 0}}"),
    ("lanes", "midstates must be an integer", "lanes: {main: {midstates: true}}"),
    ("lanes", "chunk_nonces is 10", "lanes: {main: {chunk_nonces: 10}}"),
    ("lanes", "not a multiple of 48 lanes", "lanes: {main: {lanes: 48}}"),
    ("strides", "order is 'spiral'", "strides: {main: {order: spiral}}"),
    ("strides", "condition i", "strides: {main: {order: knuth, increment: 6}}"),
    ("strides", "condition ii", "strides: {main: {order: knuth, multiplier: 6}}"),
    ("strides", "condition iii", "strides: {main: {order: knuth, multiplier: 3}}"),
    ("strides", "start 16384", "strides: {main: {order: knuth, start: 16384}}"),
    ("strides", "stride 16385", "strides: {main: {order: strided, stride: 16385}}"),
    ("strides", "stride 0", "strides: {main: {order: strided, stride: 0}}"),
    ("strides", "seed is -1", "strides: {main: {order: shuffled, seed: -1}}"),
    ("strides", "order sequential takes no seed", "strides: {main: {seed: 1}}"),
    ("strides", "unknown pre check 'full-moon'", "strides: {pre: [full-moon]}"),
    ("strides", "post omits 'none-twice'", "strides: {post: [chunks-owed]}"),
    ("strides", "pre must be a list", "strides: {pre: full-period}"),
    ("palette", "bit 12 is outside the BIP 320 mask", "palette: {main: {bits: [12]}}"),
    ("palette", "bit 29 is outside", "palette: {main: {bits: [29]}}"),
    ("palette", "a bit is listed twice", "palette: {main: {bits: [13, 13]}}"),
    ("palette", "order is 'rainbow'", "palette: {main: {order: rainbow}}"),
    ("palette", "bits must be an integer", "palette: {main: {bits: [x]}}"),
    ("sandbox", "unknown mode 'prod'", "sandbox: {main: {prod: {}}}"),
    ("sandbox", "unknown key 'sandbox'", "sandbox: {main: {test: {sandbox: {}}}}"),
    ("sandbox", "mode test: strides: stride 0", "sandbox: {main: {test: {strides: {order: strided, stride: 0}}}}"),
    ("sandbox", "mode demo: lanes: chunk_nonces", "sandbox: {main: {demo: {lanes: {chunk_nonces: 1}}}}"),
]


@pytest.mark.parametrize(("group", "reason", "text"), BROKEN)
def test_broken_plans_are_refused(group: str, reason: str, text: str) -> None:
    with pytest.raises(PlanError) as error:
        parse_plan(text)
    assert error.value.group == group
    assert reason in error.value.reason
    assert f"search plan, {group}: " in str(error.value)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(PlanError, match="did you mean 'midstates'"):
        parse_plan("lanes: {main: {midstate: 4}}")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(PlanError, match="unknown mode 'prod'"):
        parse_plan("", "prod")


def test_a_sandbox_order_does_not_inherit_foreign_parameters() -> None:
    text = """
        strides: {main: {order: knuth, multiplier: 5, increment: 3, start: 1}}
        sandbox: {main: {test: {strides: {order: shuffled}}, demo: {strides: {start: 2}}}}
    """
    assert parse_plan(text, "test").strides.seed == derive("seed", 1 << 14, BITLOAD)
    demo = parse_plan(text, "demo").strides
    assert (demo.order, demo.multiplier, demo.start) == ("knuth", 5, 2)


def test_text_and_mapping_are_the_same() -> None:
    text = Path("plan.yaml.example").read_text()
    assert parse_plan(yaml.safe_load(text), "test") == parse_plan(text, "test")


@given(chunks=st.integers(1, 1 << 32), bitload=st.integers(0, 10**120))
def test_derived_parameters_are_always_valid(chunks: int, bitload: int) -> None:
    a, c, start = (derive(name, chunks, bitload) for name in ("multiplier", "increment", "start"))
    Knuth(chunks, a, c, start)
    assert 1 <= derive("stride", chunks, bitload) <= math.isqrt(chunks)
    assert 0 <= derive("seed", chunks, bitload) < 1 << 64


def test_derivation_is_the_documented_rule() -> None:
    """Old plans must derive the same parameters for ever, or their proofs could not be replayed."""
    known = {"stride": 79, "multiplier": 1685, "increment": 7097, "start": 10033, "seed": 5854409091984707681}
    assert {name: derive(name, 1 << 14, BITLOAD) for name in known} == known
    assert derive("multiplier", 1 << 14, BITLOAD) != derive("multiplier", 1 << 14, BITLOAD + 1)


@pytest.mark.parametrize("order", sorted(USES))
def test_a_plan_comes_back_from_its_facts(order: str) -> None:
    plan = parse_plan({"strides": {"main": {"order": order}}, "palette": {"main": {"bits": [28, 13], "order": "gray"}}})
    again = plan_of_facts(json.loads(json.dumps(plan.facts())))
    assert again.hash_hex == plan.hash_hex
    assert (again.families, again.strides, again.palette) == (plan.families, plan.strides, plan.palette)


@pytest.mark.parametrize(
    ("change", "group"),
    [
        ({"strides": {"order": "knuth"}}, "strides"),
        ({"strides": {"order": "knuth", "multiplier": 2, "increment": 1, "start": 0}}, "strides"),
        ({"strides": {"order": "fractal"}}, "strides"),
        ({"families": {"engines": ["cpu", "cpu"]}}, "families"),
        ({"palette": {"bits": [40]}}, "palette"),
        ({"chunk_nonces": "many"}, "lanes"),
        ({"nonce_space": 7}, "plan"),
        ({"luck": 7}, "plan"),
    ],
)
def test_facts_that_are_no_plan_are_refused(change: dict[str, Any], group: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_of_facts({**SearchPlan().facts(), **change})
    assert caught.value.group == group
    with pytest.raises(PlanError):
        plan_of_facts([change])
