"""`solominer devices`: the miners in the house, as the web server's device monitor sees them."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from solominer.cli.control import ConfigOption, DataDirOption, ModeOption
from solominer.cli.options import JsonOption

if TYPE_CHECKING:
    from solominer.web.devices.device import Device
    from solominer.web.devices.scan import Found

devices = typer.Typer(help="The miners in the house.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(devices, name="devices")


@devices.command("list")
def list_devices(
    config: ConfigOption = None, mode: ModeOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Ask every device of the config once, and show what they say.

    Exit code: 0 all answered, 1 some did not.

    \b
    solominer devices list --config config.json
    """
    import asyncio

    from solominer.config.load import load_config
    from solominer.errors import ConfigError

    settings = load_config(config, overrides={"mode": mode, "data_dir": data_dir})
    if not settings.devices:
        raise ConfigError(
            "no device is configured", "add them to devices; `solominer devices scan 192.168.1.0/24` finds them"
        )
    _needs_web()
    from solominer.web.devices.device import DeviceMonitor
    from solominer.web.devices.view import view

    monitor = DeviceMonitor(settings.devices, settings.device_polling)
    asyncio.run(monitor.ask_once())
    if as_json:
        typer.echo(json.dumps([view(each).model_dump(mode="json") for each in monitor.devices]))
    else:
        for line in _table([_HEAD, *map(_row, monitor.devices)]):
            typer.echo(line)
        for each in monitor.devices:
            if each.problem:
                typer.echo(f"{each.config.label}: {each.problem}")
    raise typer.Exit(1 if any(each.failures for each in monitor.devices) else 0)


@devices.command()
def scan(
    subnet: Annotated[str, typer.Argument(help="The subnet of your own network, such as 192.168.1.0/24.")],
    as_json: JsonOption = False,
) -> None:
    """Look for miners in a subnet, and print the lines for the config.

    Asks each address once, at most 1,024 of them, and changes nothing.

    \b
    solominer devices scan 192.168.1.0/24
    """
    import asyncio

    _needs_web()
    from solominer.web.devices import scan as scanning

    network = scanning.subnet(subnet)

    async def look() -> "list[Found]":
        return [each async for each in scanning.scan(network)]

    found = sorted(asyncio.run(look()), key=lambda each: tuple(map(int, each.host.split("."))))
    lines = scanning.settings(found)
    if as_json:
        typer.echo(json.dumps(lines))
    elif not found:
        typer.echo(f"no miner answers in {network}: check that it is the subnet of your miners")
    else:
        typer.echo(f"{len(found)} found in {network}; for config.json:\n")
        typer.echo('"devices": [\n' + ",\n".join(f"    {json.dumps(each)}" for each in lines) + "\n]")


def _needs_web() -> None:
    try:
        import httptools  # noqa: F401
    except ImportError as error:
        from solominer.errors import ConfigError

        raise ConfigError(f"asking devices needs {error.name}", 'install it: pip install "solominer[web]"') from error


_HEAD = ("name", "state", "hash rate", "chip", "power", "efficiency", "best", "shares", "pool", "model")


def _row(device: "Device") -> tuple[str, ...]:
    from solominer.views.text import difficulty_text, rate

    said = device.reading
    if said is None:
        return (device.config.label, "no answer", *["-"] * (len(_HEAD) - 2))
    best, power = said.best_ever_difficulty, said.power_w
    return (
        device.config.label,
        str(device.state),
        "-" if said.rate_hps is None else rate(said.rate_hps),
        "-" if said.temp_c is None else f"{said.temp_c:.0f} °C",
        "-" if power is None else f"{power:.1f} W",
        "-" if said.j_per_th is None else f"{said.j_per_th:.1f} J/TH",
        "-" if best is None else difficulty_text(best),
        "-" if said.shares_accepted is None else f"{said.shares_accepted:,}",
        " ".join(said.pools) or "-",
        said.model or "-",
    )


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
