"""The command bench: every hash kernel that this machine can run, timed in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(bench)


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="How often each kernel is timed, in turn.")] = 12,
    kernel: Annotated[list[str] | None, typer.Option("--kernel", help="Only this one; may be repeated.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the result into this .svg or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")] = False,
) -> None:
    """Time every hash kernel on one core, and hashlib and NumPy for comparison; says which one would be chosen.

    \b
    solominer bench
    solominer bench --plot bench.svg
    """
    from rich.console import Console

    from solominer.config import default_cache_dir
    from solominer.engines.cpu import bench as timing

    progress = Console(stderr=True)
    result = timing.run(cache_dir=default_cache_dir(), rounds=rounds, names=kernel, report=progress.print)
    if as_json:
        typer.echo(timing.to_json(result))
    else:
        timing.render(result, Console())
    if plot is not None:
        timing.plot(result, plot)
        progress.print(f"wrote {plot}")
