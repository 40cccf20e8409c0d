"""The plan of a run: each reason why it cannot start is told with the group, before any worker is."""

from __future__ import annotations

from pathlib import Path

import pytest

from solominer.engines.cpu import machine
from solominer.engines.cpu.plan_loader import check_for_workers, kernel_for, load_plan
from solominer.errors import ConfigError, PlanError
from solominer.plan.plan import Families, Lanes, SearchPlan

EXAMPLE = Path(__file__).parents[1] / "plan.yaml.example"


def test_no_file_is_the_default_plan() -> None:
    assert load_plan(None).hash_hex == SearchPlan().hash_hex
    assert load_plan(None, "demo").mode == "demo"
    assert load_plan(None, "production").mode == "main"


def test_a_mode_gets_its_sandbox() -> None:
    assert load_plan(EXAMPLE, "production").strides.order == "sequential"
    assert load_plan(EXAMPLE, "demo").strides.order == "van-der-corput"
    assert load_plan(EXAMPLE, "regtest").mode == "main"


@pytest.mark.parametrize(
    ("content", "group", "said"),
    [
        (None, "plan", "cannot read"),
        (b"\xff\xfe\xff", "plan", "not text in UTF-8"),
        (b"strides: {main: {order: fractal}}", "strides", "order is 'fractal'"),
        (b"palette: {main: {bits: [12]}}", "palette", "outside the BIP 320 mask"),
        (b"sandbox: {main: {demo: {lanes: {chunk_nonces: 1}}}}", "sandbox", "mode demo: lanes"),
    ],
)
def test_a_broken_file_names_group_and_reason(tmp_path: Path, content: bytes | None, group: str, said: str) -> None:
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanError, match=said) as caught:
        load_plan(path)
    assert caught.value.group == group


def test_workers_need_extranonces_that_fit() -> None:
    check_for_workers(SearchPlan(), 4)
    for plan in (
        SearchPlan(Families(extranonce_bits=33)),
        SearchPlan(Families(extranonce_bits=1)),
    ):
        with pytest.raises(PlanError) as caught:
            check_for_workers(plan, 3)
        assert caught.value.group == "families"


def test_the_kernel_must_be_able_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel_for(SearchPlan(), None) is None
    assert kernel_for(SearchPlan(), "scalar") == "scalar"
    with pytest.raises(ConfigError, match="avx9000: there is no such kernel"):
        kernel_for(SearchPlan(), "avx9000")
    with pytest.raises(PlanError, match="has 1 lanes, not 8"):
        kernel_for(SearchPlan(lanes=Lanes(lanes=8)), "scalar")
    monkeypatch.setattr(machine, "this_machine", lambda: machine.Machine("cpu", frozenset({"avx2"}), "", ""))
    assert kernel_for(SearchPlan(lanes=Lanes(lanes=8)), None) == "avx2-2x2"
    assert kernel_for(SearchPlan(lanes=Lanes(midstates=2)), None) == "avx2-2x2"
    for lanes in (Lanes(lanes=16), Lanes(midstates=64)):
        with pytest.raises(PlanError, match="no kernel on this machine") as caught:
            kernel_for(SearchPlan(lanes=lanes), None)
        assert caught.value.group == "lanes"
