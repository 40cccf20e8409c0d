"""Commands for setup and diagnosis: init, doctor, smoke-test, bench."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solominer.cli.options import ConfigOption, DataDirOption, JsonOption, OptionsOnly, load, some_secs

if TYPE_CHECKING:
    from solominer.doctor.check import Finding

ModeOption = Annotated[str | None, typer.Option("--mode", "-m", help="As for run.")]
BitcoindOption = Annotated[Path | None, typer.Option(help="bitcoind for a private regtest node.")]

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("init")(init)
    app.command("doctor", cls=OptionsOnly)(doctor)
    app.command("smoke-test")(smoke_test)
    app.command()(bench)


def init(
    config: Annotated[Path, typer.Option("--config", "-c", help="File to write.")] = Path("config.json"),
    datadir: Annotated[
        list[Path] | None, typer.Option(help="Data directory of a node to use; may be repeated.")
    ] = None,
    rpc: Annotated[str | None, typer.Option(help="RPC address of a node to use: HOST:PORT.")] = None,
    username: Annotated[str, typer.Option(help="RPC user of that node.")] = "",
    password_file: Annotated[Path | None, typer.Option(help="File with that user's password.")] = None,
    cookie_file: Annotated[Path | None, typer.Option(help="That node's cookie.")] = None,
    network: Annotated[str | None, typer.Option(help="Network, if nodes on several are found.")] = None,
    payout_address: Annotated[str | None, typer.Option(help="Address that receives the reward.")] = None,
    data_dir: DataDirOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Find the nodes on this machine and write a config.json for `run`.

    Prints lines to add to bitcoin.conf. Asks for what is missing, unless there is no terminal or with --yes.

    \b
    solominer init
    solominer init --yes --payout-address bc1q... --data-dir /var/lib/solominer
    solominer init --rpc 10.0.0.5:8332 --username miner --password-file /etc/solominer/rpc-password
    """
    from solominer.setup.dialog import Answers, set_up

    asks = sys.stdin.isatty() and not yes
    set_up(
        config,
        Answers(
            datadirs=tuple(datadir or ()),
            rpc=rpc,
            username=username,
            password_file=password_file,
            cookie_file=cookie_file,
            network=network,
            payout_address=payout_address,
            data_dir=data_dir,
            force=force,
        ),
        ask=(lambda question, default: str(typer.prompt(question, default=default))) if asks else None,
        ask_secret=(lambda text: str(typer.prompt(text, default="", show_default=False, hide_input=True)))
        if asks
        else None,
        say=typer.echo,
    )


def doctor(
    config: ConfigOption = None,
    mode: ModeOption = None,
    data_dir: DataDirOption = None,
    payout_address: Annotated[str | None, typer.Option(help="Check this address instead.")] = None,
    bitcoind: BitcoindOption = None,
    listen_secs: Annotated[
        float, typer.Option(min=0.0, callback=some_secs, help="Seconds to listen for ZMQ messages.")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, each node and each Stratum listener, and say what to do about problems.

    While the daemon runs, its listeners are checked with a test connection, which submits no share.

    Exit code: 0 no failures (perhaps warnings), 1 failures.

    \b
    solominer doctor --config config.json
    solominer doctor --mode regtest --json
    """
    overrides = {"mode": mode, "data_dir": data_dir, "payout_address": payout_address, "bitcoind": bitcoind}
    settings = load(config, overrides)
    from solominer.doctor.check import Status, all_well, document
    from solominer.doctor.examination import examine

    findings = []
    for finding in examine(settings, config, listen_secs=listen_secs):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        typer.echo(json.dumps({"ok": all_well(findings), "findings": document(findings)}, indent=2))
    else:
        counts = {status: sum(finding.status is status for finding in findings) for status in Status}
        typer.echo(", ".join(f"{count} {status.value}" for status, count in counts.items() if count))
    raise typer.Exit(0 if all_well(findings) else 1)


def smoke_test(
    config: ConfigOption = None,
    mode: ModeOption = None,
    data_dir: DataDirOption = None,
    payout_address: Annotated[str | None, typer.Option(help="Use this address with the configured node.")] = None,
    bitcoind: BitcoindOption = None,
    kernel: Annotated[str | None, typer.Option(help="Hash kernel; default: the fastest.")] = None,
    network: Annotated[bool, typer.Option("--network", help="Check all nodes and the paths between them.")] = False,
    log_level: Annotated[str, typer.Option(help="Log level of the daemon.")] = "error",
    as_json: JsonOption = False,
) -> None:
    """Test end to end: mine blocks on a private node, verify the proofs, then check your node.

    Writes a certificate to data_dir/smoke-tests. Exit code: 0 passed, 1 failed.

    \b
    solominer smoke-test
    solominer smoke-test --config config.json --network
    """
    overrides = {"mode": mode, "data_dir": data_dir, "payout_address": payout_address, "bitcoind": bitcoind}
    settings = load(config, {**overrides, "kernel": kernel, "log_level": log_level})
    from solominer.doctor.check import first_failed
    from solominer.doctor.smoke_test import Certificate, smoke_test
    from solominer.views.logs import set_up_logging

    recent = set_up_logging(settings.log_level, live_view=False)
    for result in smoke_test(settings, recent, network=network):
        if not isinstance(result, Certificate):
            if not as_json:
                _show(result)
            continue
        fault = first_failed(result.findings)
        kept = f"certificate: {result.path}" if result.path.exists() else "the certificate could not be written"
        if as_json:
            typer.echo(result.path.read_text() if result.path.exists() else json.dumps({"passed": False}), nl=False)
        elif fault is None:
            typer.echo(f"PASSED in {result.secs:.1f} s; {kept}")
        else:
            typer.echo(f"FAILED at step {fault.check!r} in {result.secs:.1f} s; {kept}")
        raise typer.Exit(0 if result.passed else 1)


def _show(finding: "Finding") -> None:
    from solominer.doctor.check import line

    text = line(finding)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        word = finding.status.value
        text = typer.style(word, fg=_COLOURS[word]) + text[len(word) :]
    typer.echo(text)


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Number of timing rounds.")] = 12,
    kernel: Annotated[
        list[str] | None, typer.Option("--kernel", help="Time only this kernel; may be repeated.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a plot to this .svg or .png.")] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Time the kernels of the graphics cards instead.")] = False,
    cpu_devices: Annotated[bool, typer.Option("--cpu-devices", help="With --gpu: also CPUs (PoCL).")] = False,
    as_json: JsonOption = False,
) -> None:
    """Time every hash kernel on one core, with hashlib and NumPy for comparison, and show which one is used.

    \b
    solominer bench
    solominer bench --plot bench.svg
    solominer bench --gpu
    """
    if gpu or cpu_devices:
        if plot is not None or not gpu:
            raise typer.BadParameter("--plot goes without --gpu, --cpu-devices only with it")
        _bench_gpus(rounds, kernel, cpu_devices, as_json)
        return
    from rich.console import Console

    from solominer.config.paths import default_cache_dir
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


def _bench_gpus(rounds: int, names: list[str] | None, cpus: bool, as_json: bool) -> None:
    from rich.console import Console

    from solominer.config.paths import default_cache_dir
    from solominer.engines.gpu import bench as timing

    progress = Console(stderr=True)
    results = timing.run(cpus=cpus, cache_dir=default_cache_dir(), rounds=rounds, names=names, report=progress.print)
    if as_json:
        typer.echo(timing.to_json(results))
    else:
        timing.render(results, Console())
