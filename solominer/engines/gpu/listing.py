"""The graphics cards of this machine, listed by a process of its own: a driver may crash or hang whoever asks it.

`python -m solominer.engines.gpu.listing MODULE CPUS` prints them as JSON, one line, or what is wrong.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solominer.engines.pool.processes import python_command
from solominer.errors import EngineError, SolominerError, printable

if TYPE_CHECKING:
    from solominer.engines.gpu.device import Device

KERNELS = "solominer.engines.gpu.kernel"
PATIENCE_SECS = 20.0
_DRIVER_TODO = "see the kernel's log (dmesg); restart the machine or reinstall the driver"


@dataclass(frozen=True, slots=True)
class Card:
    """A device: its number, name, driver, memory, kind (`gpu`, `cpu`, `accelerator`), and its temperature if known.

    `kernel` is the one remembered for it, or empty.
    """

    index: int
    name: str
    driver: str
    memory_bytes: int
    kind: str
    backend: str
    temperature_c: float | None
    kernel: str


def list_cards(*, cpus: bool, cache_dir: Path | None, engine: str = KERNELS) -> list[Card]:
    """All cards, with `cpus` also CPU devices such as PoCL. Raises EngineError with what to do if there is no way."""
    command, environment = python_command(
        "solominer.engines.gpu.listing", engine, json.dumps(cpus), str(cache_dir or "")
    )
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE_SECS, check=False)
    except subprocess.TimeoutExpired:
        raise EngineError(f"the GPU driver did not answer for {PATIENCE_SECS:g} s", _DRIVER_TODO) from None
    if done.returncode < 0:
        raise EngineError(f"the GPU driver crashed (signal {-done.returncode})", _DRIVER_TODO)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or [b""])[-1]
        raise EngineError(f"the GPUs cannot be listed: {printable(last)}", _DRIVER_TODO) from None
    if isinstance(answer, dict):
        raise EngineError(answer["what"], answer["todo"])
    return [Card(**card) for card in answer]


def missing(cards: Sequence[Card | Device], wanted: tuple[int, ...] | None) -> EngineError | None:
    """The error if one of the wanted numbers (None: all that there are) does not exist."""
    for index in wanted or ():
        if all(card.index != index for card in cards):
            known = ", ".join(f"{card.index} ({card.name})" for card in cards) or "none"
            return EngineError(
                f"there is no GPU {index}; found: {known}", "correct gpu.devices, see solominer gpu list"
            )
    return None


def _listed(engine: Any, cpus: bool, cache_dir: Path | None) -> list[dict[str, Any]]:
    from solominer.engines.gpu.temperature import thermometer

    cards = []
    for device in engine.devices(cpus=cpus):
        read = thermometer(device)
        names = ("index", "name", "driver", "memory_bytes", "kind", "backend")
        card = {name: getattr(device, name) for name in names}
        kernel = engine.remembered(device, cache_dir=cache_dir)
        cards.append({**card, "temperature_c": read() if read else None, "kernel": kernel})
    return cards


def main(engine: str, cpus: str, cache_dir: str) -> None:
    """Print the cards as a JSON list, or an object with `what` is wrong and what `todo`."""
    try:
        folder = Path(cache_dir) if cache_dir else None
        answer: Any = _listed(importlib.import_module(engine), json.loads(cpus), folder)
    except SolominerError as error:
        answer = {"what": error.what, "todo": error.todo}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
