"""`solominer gpu`: the graphics cards of this machine."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from solominer.cli.options import JsonOption

gpu = typer.Typer(help="Graphics cards.", rich_markup_mode=None, no_args_is_help=True)

CpuDevicesOption = Annotated[
    bool, typer.Option("--cpu-devices", help="Also list CPUs that OpenCL offers as devices (PoCL).")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(gpu, name="gpu")


@gpu.command("list")
def list_gpus(cpu_devices: CpuDevicesOption = False, as_json: JsonOption = False) -> None:
    """List the graphics cards with their numbers: driver, memory, temperature, and the kernel chosen for each.

    \b
    solominer gpu list
    """
    from solominer.config.paths import default_cache_dir
    from solominer.engines.gpu.listing import list_cards

    cards = list_cards(cpus=cpu_devices, cache_dir=default_cache_dir())
    if as_json:
        typer.echo(json.dumps([asdict(card) for card in cards], indent=1))
        return
    if not cards:
        typer.echo("no GPU with a driver found; see docs/gpu.md")
    for card in cards:
        heat = "-" if card.temperature_c is None else f"{card.temperature_c:.0f} °C"
        typer.echo(
            f"{card.index:3}  {card.name}  {card.memory_bytes / 2**30:.1f} GiB  {heat}  {card.driver}"
            f"  ({card.backend}; kernel: {card.kernel or 'not chosen yet'})"
        )
