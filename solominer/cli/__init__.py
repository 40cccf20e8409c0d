"""The command line. Each command imports what it needs when it runs, so that `--help` is fast."""

import errno
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from solominer import __version__
from solominer.chain.secrets import LOGIN, secret_kind
from solominer.cli import cluster as cluster_commands
from solominer.cli import control, devices, evidence, forecast, operate, plan, replay, try_stratum, web
from solominer.cli import gpu as gpu_commands
from solominer.cli import node as node_command
from solominer.cli.options import ConfigOption, DataDirOption, OptionsOnly, load, some_secs
from solominer.config.modes import MODES

if TYPE_CHECKING:
    from solominer.errors import SolominerError

_SHORTAGES = frozenset(
    getattr(errno, name) for name in ("EAGAIN", "EDQUOT", "EFBIG", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC")
)
"""Numbers of the errors that say that the system has no more of something, or grants no more of it."""

app = typer.Typer(
    help="Mine on your own Bitcoin Core node: no pool, no middleman, the full reward to your own address.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> NoReturn:
    """Entry point of the console script: errors become a message and an exit code."""
    try:
        refuse_secrets(sys.argv[1:])
        refuse_empty(sys.argv[1:])
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from solominer.errors import SolominerError

        known = error if isinstance(error, SolominerError) else _of_system(error)
        if known is None:
            raise
        _fail(known)
    sys.exit(0)


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Reject arguments that contain a private key. Raises ConfigError; hashes and public keys are allowed."""
    for place, argument in enumerate(arguments, 1):
        kind = secret_kind(argument, may_be_hash=True)
        if kind:
            from solominer.errors import ConfigError

            if kind == LOGIN and argument.removeprefix("--pool=").startswith("stratum"):
                raise ConfigError(
                    f"argument {place} of the command line contains a pool's password",
                    "other users can read the command line: leave it out, as most pools ignore it, or set "
                    "password_file in `pools` of config.json",
                )
            raise ConfigError(
                f"argument {place} of the command line is a secret: {kind}",
                "other users can read the command line: move the funds that it protects; pass an address instead",
            )


def refuse_empty(arguments: Sequence[str]) -> None:
    """Reject empty arguments, as of `--data-dir "$UNSET"`: as a path, it would be the current folder.

    A password may be empty. Raises ConfigError.
    """
    for before, argument in pairwise(["", *arguments]):
        name, equals, value = argument.partition("=") if argument.startswith("--") else (before, "=", argument)
        if value or not equals or name == "--password":
            continue
        from solominer.errors import ConfigError

        what = f"{name} has an empty value" if name.startswith("-") else "an argument of the command line is empty"
        raise ConfigError(what, "check that the variable in it is set, or leave it out")


def _of_system(error: Exception) -> "SolominerError | None":
    """Errors of the operating system about a file or its limits as a SolominerError; None for other exceptions."""
    from solominer.config.paths import absolute, reason
    from solominer.errors import ConfigError, RecordsError, SolominerError

    if not isinstance(error, OSError):
        return None
    try:
        absolute(Path())
    except ConfigError as gone:
        return gone
    if error.filename is None:
        if error.errno not in _SHORTAGES:
            return None
        room = "free some disk space and memory, or raise the limits of this user (ulimit -a)"
        return SolominerError(f"the system refuses: {reason(error)}", room)
    todo = "check its permissions, or use another file or folder"
    return RecordsError(f"cannot access {str(error.filename)!r:.300}: {reason(error)}", todo)


def _fail(error: "SolominerError") -> NoReturn:
    sys.stderr.write(f"solominer: {error}\n")
    sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"solominer {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options common to all commands."""


@app.command(cls=OptionsOnly)
def run(
    config: ConfigOption = None,
    mode: Annotated[
        str | None,
        typer.Option("--mode", "-m", help=f"{', '.join(MODES)}."),
    ] = None,
    blocks: Annotated[int | None, typer.Option("--blocks", "-n", min=1, help="Stop after this many blocks.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.1, callback=some_secs, help="Stop after this many seconds.")
    ] = None,
    hashes: Annotated[int | None, typer.Option("--hashes", min=1, help="Stop after this many hashes.")] = None,
    blocks_per_day: Annotated[str | None, typer.Option(help="A number, random, or all.")] = None,
    days: Annotated[str | None, typer.Option(help="Stop after this many days, or never: forever.")] = None,
    days_week: Annotated[int | None, typer.Option(help="Mine on the first N days of each week.")] = None,
    hours: Annotated[str | None, typer.Option(help="Mining hours, local time: 22:00-06:00.")] = None,
    block_interval: Annotated[
        float | None, typer.Option(help="Minimum seconds between blocks (regtest, signet).")
    ] = None,
    stratum: Annotated[
        list[str] | None, typer.Option(help="Address of the Stratum server: 0.0.0.0:3333; may be repeated.")
    ] = None,
    cluster: Annotated[
        list[str] | None, typer.Option(help="NATS server for nodes: nats://head:4222, or embedded; may be repeated.")
    ] = None,
    cpu_workers: Annotated[int | None, typer.Option(min=0, help="CPU workers; may be 0 beside GPUs or miners.")] = None,
    gpu: Annotated[str | None, typer.Option(help="GPUs: none, all, or numbers as in 0,2 (solominer gpu list).")] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(help="Mine for a pool, without a node: stratum+tcp://USER@HOST:PORT; repeat for failover."),
    ] = None,
    web: Annotated[bool, typer.Option("--web", help="Also start the web server; prints its address.")] = False,
    data_dir: DataDirOption = None,
    payout_address: Annotated[str | None, typer.Option(help="Address that receives the reward.")] = None,
    bitcoind: Annotated[Path | None, typer.Option(help="bitcoind for a private regtest node.")] = None,
    kernel: Annotated[str | None, typer.Option(help="Hash kernel; default: the fastest.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Log lines instead of the live view.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only log what the policies would do.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Confirm production mode.")] = False,
) -> None:
    """Mine until Ctrl-C.

    \b
    solominer run --mode demo                 simulated node, real hashing
    solominer run --mode regtest --blocks 10  private regtest node
    solominer run --config config.json        your node
    solominer run --config config.json --gpu all    with all graphics cards
    solominer run --config config.json --stratum 0.0.0.0:3333    with Stratum miners
    solominer run --config config.json --cluster embedded        with nodes on other machines
    solominer run --pool stratum+tcp://USER@pool.example.org:3333    for a pool, without a node
    """
    overrides = {
        "mode": mode or ("pool" if pool else None),
        "data_dir": data_dir,
        "payout_address": payout_address,
        "bitcoind": bitcoind,
        "kernel": kernel,
        "log_level": log_level,
        "stratum": stratum or None,
        "pools": pool or None,
        "cluster.servers": cluster or None,
        "cpu_workers": cpu_workers,
        "gpu.devices": gpu,
        "web.enabled": web or None,
        "policies.dry_run": dry_run or None,
        "schedule.blocks_per_day": blocks_per_day,
        "schedule.days": days,
        "schedule.days_week": days_week,
        "schedule.hours": hours,
        "schedule.block_interval_secs": block_interval,
    }
    settings = load(config, overrides)
    from solominer.daemon.daemon import run as run_daemon
    from solominer.daemon.every_run import RunOptions
    from solominer.setup.first_run import check_nodes, check_start, make_sure
    from solominer.views.logs import set_up_logging

    may_wait = settings.cluster.standby  # with nothing to view
    live = not plain and not may_wait and sys.stdout.isatty() and sys.stderr.isatty()
    reload = None if config is None else lambda: load(config, overrides)
    options = RunOptions(blocks, seconds, live, hashes, reload, config)
    check_start(settings, options, config)
    check_nodes(settings)
    make_sure(settings, yes=yes, ask=_do_you_understand if sys.stdin.isatty() else None)
    recent = set_up_logging(settings.log_level, live_view=live)
    raise typer.Exit(run_daemon(settings, options, recent))


def _do_you_understand(text: str) -> bool:
    typer.echo(text, err=True)
    return bool(typer.confirm("Do you understand this?", err=True))


operate.register(app)
evidence.register(app)
control.register(app)
plan.register(app)
forecast.register(app)
replay.register(app)
try_stratum.register(app)
web.register(app)
devices.register(app)
cluster_commands.register(app)
gpu_commands.register(app)
node_command.register(app)
