"""A worker asks for short turns, and keeps its policy and its priority."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

from solominer.engines.cpu.turns import SHORT_NS

_ASK = """
import ctypes, json, os, struct
from solominer.engines.cpu.turns import ask_for_short_turns
os.nice(7)
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
ask_for_short_turns()
seen = ctypes.create_string_buffer(48)
assert ctypes.CDLL(None).syscall(%d, 0, seen, 48, 0) == 0
_, policy, _, nice, _, runtime, _, _ = struct.unpack("=IIQiIQQQ", seen.raw)
print(json.dumps([policy == os.SCHED_BATCH, nice, runtime]))
"""
_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275, "riscv64": 275}


@pytest.mark.skipif(platform.machine() not in _SCHED_GETATTR, reason="the number of sched_getattr is not known here")
def test_turns_are_short_and_all_else_stays() -> None:
    code = _ASK % _SCHED_GETATTR[platform.machine()]
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    assert json.loads(seen)[:2] == [True, 7]
    assert json.loads(seen)[2] == (SHORT_NS if release >= (6, 12) else 0)


def test_an_unknown_machine_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from solominer.engines.cpu.turns import ask_for_short_turns

    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    monkeypatch.setattr("ctypes.CDLL", None)
    ask_for_short_turns()
