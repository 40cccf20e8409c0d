"""Commands for the running daemon, by its control socket: status, pause, resume, reload."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from solominer.cli.options import JsonOption, OptionsOnly, some_secs

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The daemon's config.json.")]
ModeOption = Annotated[str | None, typer.Option("--mode", "-m", help="The daemon's mode.")]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="The daemon's data folder.")]

_CLEAR = "\x1b[H\x1b[2J"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (status, pause, resume, reload):
        app.command(cls=OptionsOnly)(command)


def status(
    config: ConfigOption = None,
    mode: ModeOption = None,
    data_dir: DataDirOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option(min=0.2, callback=some_secs, help="Seconds between two updates of --watch.")
    ] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Show the state of the running daemon.

    Exit code: 0 mining or paused, 1 no work (no node, no template; checked twice, a second apart), 8 not
    running.

    \b
    solominer status --config config.json
    solominer status --json | jq .status.rate_hps
    """
    from solominer.views.text import status_lines

    while True:
        reply = _ask("status", config, mode, data_dir)
        if as_json:
            typer.echo(json.dumps(reply))
        else:
            text = "\n".join(status_lines(reply["status"]))
            typer.echo((_CLEAR if watch and sys.stdout.isatty() else "") + text)
        if not watch:
            break
        time.sleep(every)
    if not _busy(reply):  # a block or a new tip may just have arrived: check again
        time.sleep(1.0)
        reply = _ask("status", config, mode, data_dir)
    raise typer.Exit(0 if _busy(reply) else 1)


def _busy(reply: dict[str, Any]) -> bool:
    return str(reply["status"]["status"]).startswith(("mining", "paused"))


def pause(
    config: ConfigOption = None, mode: ModeOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Pause hashing until `solominer resume`; found blocks and nodes are still tracked."""
    reply = _ask("pause", config, mode, data_dir)
    typer.echo(json.dumps(reply) if as_json else f"paused: {', '.join(reply['pauses'])}")


def resume(
    config: ConfigOption = None, mode: ModeOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """End `solominer pause`. Shows pauses for other reasons (schedule, throttle, policies), which remain."""
    reply = _ask("resume", config, mode, data_dir)
    left = ", ".join(reply["pauses"])
    typer.echo(json.dumps(reply) if as_json else (f"still paused: {left}" if left else "resumed"))


def reload(
    config: ConfigOption = None, mode: ModeOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Reload the daemon's config.json, as SIGHUP does for a service; lists settings that require a restart."""
    reply = _ask("reload", config, mode, data_dir)
    typer.echo(json.dumps(reply) if as_json else "\n".join(reply["changes"]) or "no changes")


def _ask(what: str, config: Path | None, mode: str | None, data_dir: Path | None) -> dict[str, Any]:
    return ask_daemon({"do": what, "by": f"solominer {what}"}, config, mode, data_dir)


def ask_daemon(request: dict[str, Any], config: Path | None, mode: str | None, data_dir: Path | None) -> dict[str, Any]:
    """The daemon's answer. Without a configuration or a mode it is the one that runs. Raises NotRunning."""
    from solominer.config.load import load_config
    from solominer.records.control_client import ask, running_in

    settings = load_config(config, overrides={"mode": mode, "data_dir": data_dir})
    named = settings.tree_dir
    folder = named if config is not None or mode is not None else running_in(settings.records_dir) or named
    return ask(folder, request)
