"""Runs `scripts/verify.py`, the verifier that shares no code with the package, inside the test's process."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

SCRIPT = Path(__file__).parents[2] / "scripts" / "verify.py"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit code and output of one run."""

    code: int
    output: str

    @property
    def holds(self) -> bool:
        """Whether it found nothing wrong."""
        return self.code == 0


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standalone_verify", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_MODULE = _load()


def standalone(path: Path, *options: str) -> Outcome:
    """Verify `path` as the command line would."""
    _forget()
    output, arguments = io.StringIO(), sys.argv
    sys.argv = ["verify.py", str(path), *options]
    try:
        with contextlib.redirect_stdout(output):
            code = _MODULE.main(path)
    finally:
        sys.argv = arguments
    return Outcome(code, output.getvalue())


def check_ledger(path: Path, report: dict[str, Any]) -> None:
    """Hash an hour's shares again and count its hashes, against any report. Raises ValueError where they differ."""
    _MODULE.check_ledger(path, report)


def check_group(root: Path, paths: list[str]) -> list[str]:
    """Follow a group's account through the ledgers of these hours; what is wrong, by file and line."""
    _forget()
    _MODULE.check_group(root, paths)
    return list(_MODULE.wrong)


def _forget() -> None:
    for notes in (_MODULE.checked, _MODULE.unchecked, _MODULE.wrong, _MODULE.evidence):
        notes.clear()
