"""Runs a program that is killed at a certain call, as kill -9 does.

    python -m tests.killed_at before|after MODULE CLASS.METHOD PROGRAM [ARGUMENT ...]

PROGRAM is a module to run as `python -m` does. It kills itself at the first call of the method.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
from typing import Any


def command(when: str, module: str, method: str, program: str, *arguments: str) -> list[str]:
    """The command line that does this."""
    return [sys.executable, "-m", "tests.killed_at", when, module, method, program, *arguments]


def main() -> None:
    """Arm the method and run the program."""
    _, when, module, method, program, *arguments = sys.argv
    owner, _, name = method.partition(".")
    kind = getattr(importlib.import_module(module), owner)
    real = getattr(kind, name)

    def killed(*values: Any, **named: Any) -> None:
        if when == "after":
            real(*values, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(kind, name, killed)
    sys.argv = [program, *arguments]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
