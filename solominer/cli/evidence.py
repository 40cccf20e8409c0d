"""Commands that read the records: verify, report, ledger."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solominer.cli.options import JsonOption

if TYPE_CHECKING:
    from solominer.records.tree import Tree

ledger = typer.Typer(help="Query the ledger: blocks, shares, errors.", no_args_is_help=True, rich_markup_mode=None)

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="config.json with the data folder.")]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="The data folder, instead of the config's.")]
NetworkOption = Annotated[
    str | None, typer.Option("--network", help="mainnet, regtest, demo, ...; required if there are several.")
]
SinceOption = Annotated[str, typer.Option("--since", help="2h, 3d, 2026-11-21 or 2026-11-21T07:30 (UTC).")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Show only the newest N.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(verify)
    app.command()(report)
    app.add_typer(ledger, name="ledger")


def verify(
    path: Annotated[Path, typer.Argument(help="A proof, an hour's folder, a day, or a whole network folder.")],
    thorough: Annotated[
        bool | None, typer.Option("--thorough/--quick", help="Hash every share again; default: if at most 24 hours.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option(help="Require every report to be signed by this Ed25519 key (hex).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify evidence, and list what was checked, what could not be, and errors. Exit code 1 on errors.

    scripts/verify.py does the same and requires only Python.

    \b
    solominer verify data/regtest
    solominer verify data/regtest/reports/2026/11/21
    """
    from solominer.records.evidence.verify import verify as check

    result = check(path, thorough=thorough, public_key_hex=public_key)
    if as_json:
        typer.echo(json.dumps(result.document(), indent=2))
    else:
        for line in result.lines():
            typer.echo(line)
    raise typer.Exit(0 if result.holds else 1)


def report(
    period: Annotated[
        str | None, typer.Argument(help="2026, 2026-11, 2026-W47, 2026-11-21, 2026-11-21-07, latest or all.")
    ] = None,
    day: Annotated[bool, typer.Option("--day", help="Today.")] = False,
    week: Annotated[bool, typer.Option("--week", help="This week.")] = False,
    month: Annotated[bool, typer.Option("--month", help="This month.")] = False,
    year: Annotated[bool, typer.Option("--year", help="This year.")] = False,
    as_json: JsonOption = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write an HTML page with plots to this file.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    network: NetworkOption = None,
) -> None:
    """Show the report of a period; default: the newest one.

    \b
    solominer report
    solominer report --day --html today.html
    solominer report 2026-W47 --json
    """
    from solominer.records.report.period import render

    now = datetime.now(UTC)
    named = {"%Y-%m-%d": day, "%G-W%V": week, "%Y-%m": month, "%Y": year}
    wanted = period or next((now.strftime(form) for form, chosen in named.items() if chosen), "latest")
    tree = _tree(config, data_dir, network)
    form = "html" if html is not None else "json" if as_json else "text"
    text = render(tree, tree.root.name, wanted, form)
    if html is None:
        typer.echo(text)
    else:
        html.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {html}")


def _ask(
    question: str,
    since: str,
    limit: int | None,
    as_json: bool,
    config: Path | None,
    data_dir: Path | None,
    network: str | None,
) -> None:
    from solominer.records.ledger.index import LedgerIndex

    index = LedgerIndex(_tree(config, data_dir, network))
    for entry in index.query(question, since=_moment(since), limit=limit):
        typer.echo(json.dumps(entry) if as_json else _line(entry))


@ledger.command()
def blocks(
    since: SinceOption = "30d", limit: LimitOption = None, as_json: JsonOption = False,
    config: ConfigOption = None, data_dir: DataDirOption = None, network: NetworkOption = None,
) -> None:  # fmt: skip
    """List events of our blocks."""
    _ask("blocks", since, limit, as_json, config, data_dir, network)


@ledger.command()
def shares(
    since: SinceOption = "1h", limit: LimitOption = None, as_json: JsonOption = False,
    config: ConfigOption = None, data_dir: DataDirOption = None, network: NetworkOption = None,
) -> None:  # fmt: skip
    """List shares found."""
    _ask("shares", since, limit, as_json, config, data_dir, network)


@ledger.command()
def errors(
    since: SinceOption = "7d", limit: LimitOption = None, as_json: JsonOption = False,
    config: ConfigOption = None, data_dir: DataDirOption = None, network: NetworkOption = None,
) -> None:  # fmt: skip
    """List errors and alarms."""
    _ask("errors", since, limit, as_json, config, data_dir, network)


@ledger.command()
def rebuild(config: ConfigOption = None, data_dir: DataDirOption = None, network: NetworkOption = None) -> None:
    """Rebuild the index from the ledger files."""
    from solominer.records.ledger.index import LedgerIndex

    tree = _tree(config, data_dir, network)
    typer.echo(f"{LedgerIndex(tree).rebuild():,} lines of {tree.root} indexed")


def _tree(config: Path | None, data_dir: Path | None, network: str | None) -> "Tree":
    """The records of one network: from --network, the config, or the only one in the data folder."""
    from solominer.config.load import load_config
    from solominer.errors import RecordsError
    from solominer.records.tree import Tree

    settings = load_config(config, overrides={"data_dir": data_dir})
    root = settings.records_dir
    if network is None and config is not None:
        network = settings.tree_name
    if network is None:
        there = sorted(path.parent.name for path in root.glob("*/ledger"))
        if not there:
            raise RecordsError(f"there are no records in {root}", "pass the --data-dir or --config that `run` had")
        if len(there) > 1:
            raise RecordsError(
                f"{root} has records of several networks: {', '.join(there)}", "select one with --network"
            )
        network = there[0]
    if not (root / network / "ledger").is_dir():
        raise RecordsError(f"no records in {root / network}", "check --data-dir and --network")
    return Tree(root / network)


def _moment(text: str) -> float:
    """Unix seconds of `2h` ago, or of a date and time in UTC."""
    from solominer.errors import ConfigError

    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}.get(text[-1:])
    if unit is not None and text[:-1].isdigit():
        return time.time() - int(text[:-1]) * unit
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--since {text!r} is not a time", "use 2h, 3d, 2026-11-21 or 2026-11-21T07:30") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _line(entry: dict[str, object]) -> str:
    at = entry.get("at")
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if isinstance(at, int | float) else "?"
    skipped = {"at", "seq", "up", "kind"}
    rest = "  ".join(f"{name}={value}" for name, value in entry.items() if name not in skipped)
    from solominer.errors import printable

    return printable(f"{stamp}  {entry.get('kind')}  {rest}")
