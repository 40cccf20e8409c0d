"""The choice of a variant: the fastest wins and is remembered; names and wrong hits overrule; damage is survived."""

from __future__ import annotations

from pathlib import Path

import pytest

from solominer.engines.cpu import choose
from solominer.engines.cpu import kernel as engine
from solominer.engines.cpu.cache import machine_folder
from solominer.engines.cpu.kernel import Kernel
from solominer.engines.cpu.variants import VARIANTS, VariantInfo
from solominer.errors import EngineError
from tests.hashing.kernels import kernel


class Bench:
    """Stands for compiling and timing: the variants loaded, and speeds by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, speeds: dict[str, float], broken: str = "") -> None:
        kernel("scalar")  # compiled now: a choice does not wait long for a compiler
        self.broken = broken
        self.loaded: list[str] = []
        self.lines: list[str] = []
        monkeypatch.setattr(choose, "measure_hps", lambda kernel, seconds: speeds.get(kernel.name, 1e6))
        monkeypatch.setattr(choose, "hashlib_hps", lambda seconds: 1e5)

    def load(self, info: VariantInfo) -> Kernel:
        self.loaded.append(info.name)
        if info.name == self.broken:
            raise EngineError("broken")
        scalar = kernel("scalar")
        return Kernel(info.name, scalar.lanes, scalar.midstates, scalar._search)

    def choose(self, folder: Path | None) -> str:
        return choose.choose_variant(self.load, cache_dir=folder, report=self.lines.append).name


USUAL = [info.name for info in choose.available_variants() if info.usual]


def test_the_fastest_is_chosen_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {USUAL[1]: 5e6})
    assert bench.choose(tmp_path) == USUAL[1]
    assert bench.loaded == USUAL[: choose.CANDIDATES]
    assert f"kernel {USUAL[1]} chosen" in bench.lines[0]
    again = Bench(monkeypatch, {})
    assert again.choose(tmp_path) == USUAL[1]
    assert again.loaded == []


def test_without_a_folder_it_chooses_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {USUAL[0]: 5e6})
    assert [bench.choose(None), bench.choose(None)] == [USUAL[0]] * 2
    assert len(bench.loaded) == 2 * min(choose.CANDIDATES, len(USUAL))


def test_slow_compilers_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "PATIENCE_SECS", -1.0)
    bench = Bench(monkeypatch, {})
    assert bench.choose(tmp_path) == USUAL[0]
    assert bench.loaded == USUAL[:1]


@pytest.mark.parametrize("patience_secs", [choose.PATIENCE_SECS, -1.0])
def test_a_right_but_absurdly_slow_kernel_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience_secs: float
) -> None:
    """Also where the first candidate took so long to compile that no second one would be."""
    monkeypatch.setattr(choose, "PATIENCE_SECS", patience_secs)
    bench = Bench(monkeypatch, {USUAL[0]: 1.1e5, USUAL[1]: 4e6})
    assert bench.choose(tmp_path) == USUAL[1]
    assert "too slow on this CPU (0.11 MH/s)" in bench.lines[0]
    assert choose.remembered(tmp_path).rates_hps[USUAL[0]] == 1.1e5


def test_where_every_kernel_is_slow_the_fastest_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, dict.fromkeys(USUAL, 1e5) | {USUAL[-1]: 1.5e5})
    assert bench.choose(tmp_path) == USUAL[-1]


def test_a_benched_variant_is_not_chosen_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {USUAL[0]: 9e6, USUAL[1]: 5e6})
    assert bench.choose(tmp_path) == USUAL[0]
    choose.bench_out(USUAL[0], cache_dir=tmp_path)
    assert bench.choose(tmp_path) == USUAL[1]
    assert choose.remembered(tmp_path).benched == {USUAL[0]: "wrong hits"}


def test_where_all_are_benched_out_the_machine_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in USUAL:
        choose.bench_out(name, cache_dir=tmp_path)
    with pytest.raises(EngineError, match="every kernel gave wrong hits"):
        Bench(monkeypatch, {}).choose(tmp_path)


def test_a_candidate_that_does_not_work_is_benched_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {USUAL[0]: 9e6, USUAL[1]: 5e6}, broken=USUAL[0])
    assert bench.choose(tmp_path) == USUAL[1]
    assert choose.remembered(tmp_path).benched == {USUAL[0]: "broken"}
    assert bench.lines[0] == "broken; not used"


def test_a_kernel_that_works_no_more_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {USUAL[0]: 9e6, USUAL[1]: 5e6})
    bench.choose(tmp_path)
    bench.broken = USUAL[0]
    monkeypatch.setattr(engine, "_load", lambda info, cache_dir, report: bench.load(info))
    assert engine.load_kernel(cache_dir=tmp_path, report=bench.lines.append).name == USUAL[1]
    assert "broken; choosing another" in bench.lines


@pytest.mark.parametrize("text", ["", "[]", "{", '{"rates_hps": {"scalar": "x"}, "benched": {}}', '{"rates_hps": 3}'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {})
    bench.choose(tmp_path)
    (machine_folder(tmp_path) / choose.CHOICE).write_text(text)
    assert choose.remembered(tmp_path) == choose.Choice()


def test_a_memory_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    bench = Bench(monkeypatch, {})
    bench.choose(blocked)
    assert "cannot save the choice" in bench.lines[-1]


def test_variants_that_the_cpu_lacks_are_refused() -> None:
    missing = next(info for info in VARIANTS if info not in choose.available_variants())
    with pytest.raises(EngineError, match="this CPU cannot run it"):
        choose.named_variant(missing.name)


def test_rates_are_measured_in_hashes_of_all_midstates() -> None:
    measured = choose.measure_hps(kernel("scalar"), 0.05)
    assert 1e4 < measured < 1e9
