"""`solominer replay`: replays recorded events."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solominer.cli.evidence import ConfigOption, DataDirOption, NetworkOption, _tree

if TYPE_CHECKING:
    from solominer.records.events.event_log import EventFile
    from solominer.records.events.replay import ReplayOutcome

BAD_INPUT = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    which: Annotated[
        str, typer.Argument(metavar="HOUR|FILE|FOLDER", help="2026-11-21-07 (UTC), or a path below events/.")
    ],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    network: NetworkOption = None,
) -> None:
    """Replay the recorded events of an hour, and compare the resulting actions.

    Each run is replayed from its start through that hour. Exit code: 0 same actions, 1 different actions, 2 the record
    is missing, damaged or of another version.

    \b
    solominer replay 2026-11-21-07
    solominer replay data/regtest/events/2026/11/21
    """
    from solominer.errors import RecordsError
    from solominer.records.events.replay import replay as run_again

    try:
        until, runs = _chosen(which, config, data_dir, network)
        same = True
        for files in runs:
            outcome = run_again(files, until)
            same = same and outcome.difference is None
            for line in _lines(outcome):
                typer.echo(line)
    except RecordsError as error:
        typer.echo(f"solominer: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from error
    raise typer.Exit(0 if same else 1)


def _chosen(
    which: str, config: Path | None, data_dir: Path | None, network: str | None
) -> "tuple[float | None, list[list[EventFile]]]":
    """Where to stop (Unix seconds, None for the end), and the files of each selected run."""
    from solominer.errors import RecordsError
    from solominer.records.events.event_log import FOLDER, event_files

    until, path = None, Path(which)
    if re.fullmatch(r"\d{4}-\d\d-\d\d-\d\d", which, re.ASCII) and not path.exists():
        try:
            hour = datetime.strptime(which, "%Y-%m-%d-%H").replace(tzinfo=UTC)
        except ValueError:
            raise RecordsError(f"{which} is not an hour", "write it as 2026-11-21-07, in UTC") from None
        until, root = hour.timestamp() + 3600, _tree(config, data_dir, network).root
        path = root / FOLDER / f"{hour:%Y/%m/%d}"
    else:
        path = path.absolute()
        root = next((each.parent for each in (path, *path.parents) if each.name == FOLDER), path)
    files = event_files(root)
    meant = {each.run: each for each in files if each.path == path or path in each.path.parents}
    if not meant:
        raise RecordsError(
            f"no events are recorded in {path}", "pass an hour of a run, or check --data-dir and --network"
        )
    return until, [
        [each for each in files if each.run == run and each.number <= last.number] for run, last in meant.items()
    ]


def _lines(outcome: "ReplayOutcome") -> list[str]:
    from solominer.errors import printable

    total, kinds = outcome.events.total(), ", ".join(f"{n} {kind}" for kind, n in sorted(outcome.events.items()))
    lines = [f"run {outcome.run} of solominer {outcome.written_by}: {total} events ({kinds})"]
    if outcome.ends:
        lines.append(f"  {outcome.ends}")
    if outcome.difference is None:
        return [*lines, f"  same {outcome.actions} actions"]
    found = outcome.difference
    at = datetime.fromtimestamp(found.event.at.wall, UTC).strftime("%Y-%m-%d %H:%M:%S")
    lines.append(f"  DIFFERENT at event {found.number}, {at}: {printable(str(found.event), 500)}")
    if found.fault:
        return [*lines, f"  now it fails: {found.fault}"]
    now = [printable(str(action), 500) for action in found.actions] or ["nothing"]
    return [*lines, "  now the actions are:", *(f"    {line}" for line in now)]
