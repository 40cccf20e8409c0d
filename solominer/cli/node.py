"""`solominer node`: this machine's workers and miners search for the head of a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from solominer.engines.cluster.node_run import NodeSettings
    from solominer.engines.stratum.engine import StratumSettings


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(node)


def node(
    join: Annotated[Path, typer.Option(help="The join file that `solominer cluster add` wrote for this machine.")],
    cpu_workers: Annotated[
        int | None, typer.Option(min=0, max=4096, help="CPU workers; default: one for each core.")
    ] = None,
    gpu: Annotated[str, typer.Option(help="GPUs: none, all, or numbers as in 0,2 (solominer gpu list).")] = "none",
    cpu_devices: Annotated[
        bool, typer.Option("--cpu-devices", help="Also use CPUs that OpenCL offers as devices (PoCL), for tests.")
    ] = False,
    kernel: Annotated[str | None, typer.Option(help="Hash kernel of the CPU workers; default: the fastest.")] = None,
    stratum: Annotated[
        list[str] | None,
        typer.Option(help="Address for miners (Stratum V1): 0.0.0.0:3333, or a port; may be repeated."),
    ] = None,
    nice: Annotated[int, typer.Option(min=0, max=19, help="Nice value of the workers, 19: lowest priority.")] = 10,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for shares that are not delivered yet; default: as for run.")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Search on this machine for the head of a cluster, until Ctrl-C; it needs no bitcoind and no configuration.

    Blocks pay whom the join file names, or this machine does not work. Without the head or its server it goes on with
    the job that it has for up to ten minutes, and keeps what it finds until it is delivered. With --stratum miners such
    as ASICs search beside its workers, or alone (--cpu-workers 0), whatever their usernames.

    Exit code: 0 stopped or drained, 2 the join file cannot be used, 6 no worker can start, or no miner could connect.

    \b
    solominer node --join rack7.join
    solominer node --join rack7.join --cpu-workers 0 --gpu all
    solominer node --join site2.join --cpu-workers 0 --stratum 0.0.0.0:3333
    """
    from solominer.engines.cluster.packages import need_packages

    need_packages()
    from solominer.engines.cluster.node_run import run_node
    from solominer.views.logs import set_up_logging

    settings = _settings(join, cpu_workers, gpu, cpu_devices, kernel, stratum or [], nice, data_dir)
    set_up_logging(_level(log_level), live_view=False)
    run_node(settings)


def _settings(
    join: Path,
    cpu_workers: int | None,
    gpu: str,
    cpu_devices: bool,
    kernel: str | None,
    stratum: list[str],
    nice: int,
    data_dir: Path | None,
) -> "NodeSettings":
    from pydantic import ValidationError

    from solominer.config.gpu import GpuConfig
    from solominer.config.paths import absolute, default_cache_dir, default_data_dir
    from solominer.engines.cluster.join_file import JoinFile
    from solominer.engines.cluster.node_run import NodeSettings
    from solominer.engines.cpu.machine import usable_cores
    from solominer.engines.cpu.variants import variant
    from solominer.engines.gpu.engine import GpuSettings
    from solominer.engines.pool.pool import PoolSettings
    from solominer.errors import ConfigError

    joined = JoinFile.read(absolute(join))
    workers = usable_cores() if cpu_workers is None else cpu_workers
    try:
        cards = GpuConfig(devices=gpu, cpu_devices=cpu_devices)
    except ValidationError as error:
        raise ConfigError(f"--gpu {gpu}: {error.errors()[0]['msg']}", "write none, all, or numbers as in 0,2") from None
    if not workers and not cards.is_on and not stratum:
        raise ConfigError(
            "--cpu-workers is 0, without GPU and miners: nothing would hash", "add --gpu all, or --stratum"
        )
    if kernel is not None:
        variant(kernel)
    cache = default_cache_dir()
    data = absolute(data_dir) if data_dir else default_data_dir()
    folder = data / "nodes" / f"{joined.network}-{joined.node}"
    return NodeSettings(
        joined,
        PoolSettings(workers, kernel, cache, nice) if workers else None,
        GpuSettings(cards.numbers, cpus=cards.cpu_devices, alone=not workers, cache_dir=cache) if cards.is_on else None,
        _stratum(stratum, joined.network, folder, cache) if stratum else None,
        folder,
    )


def _stratum(addresses: list[str], network: str, folder: Path, cache: Path) -> "StratumSettings":
    from pydantic import ValidationError

    from solominer.config.listeners import ListenerConfig
    from solominer.engines.stratum.channel import ListenerSetup
    from solominer.engines.stratum.engine import StratumSettings
    from solominer.errors import ConfigError

    listeners = []
    for address in addresses:
        try:
            listeners.append(ListenerSetup.of(ListenerConfig(listen=address, v2="off"), network))
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ConfigError(f"--stratum {address}: {problem}", "write ADDRESS:PORT, as 0.0.0.0:3333") from None
    if len({listener.place for listener in listeners}) < len(listeners):
        raise ConfigError("--stratum: two listeners have the same address", "leave one out")
    return StratumSettings(
        tuple(listeners),
        sessions_file=folder / "stratum-sessions.json",
        works_file=folder / "stratum-works.bin",
        cache_dir=cache,
    )


def _level(name: str) -> str:
    from solominer.errors import ConfigError

    if name.lower() not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"unknown log level {name!r}", "use debug, info, warning or error")
    return name
