"""`solominer node`: this machine's workers search for the head of a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from solominer.engines.cluster.node_run import NodeSettings


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
    nice: Annotated[int, typer.Option(min=0, max=19, help="Nice value of the workers, 19: lowest priority.")] = 10,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for shares that are not delivered yet; default: as for run.")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Search on this machine for the head of a cluster, until Ctrl-C; it needs no bitcoind and no configuration.

    Blocks pay whom the join file names, or this machine does not work. Without the head or its server it goes on with
    the job that it has for up to ten minutes, and keeps what it finds until it is delivered.

    Exit code: 0 stopped or drained, 2 the join file cannot be used, 6 no worker can start.

    \b
    solominer node --join rack7.join
    solominer node --join rack7.join --cpu-workers 0 --gpu all
    """
    from solominer.engines.cluster.packages import need_packages

    need_packages()
    from solominer.engines.cluster.node_run import run_node
    from solominer.views.logs import set_up_logging

    settings = _settings(join, cpu_workers, gpu, cpu_devices, kernel, nice, data_dir)
    set_up_logging(_level(log_level), live_view=False)
    run_node(settings)


def _settings(
    join: Path,
    cpu_workers: int | None,
    gpu: str,
    cpu_devices: bool,
    kernel: str | None,
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
    if not workers and not cards.is_on:
        raise ConfigError("--cpu-workers is 0 and no GPU is used: nothing would hash", "add --gpu all")
    if kernel is not None:
        variant(kernel)
    cache = default_cache_dir()
    folder = absolute(data_dir) if data_dir else default_data_dir()
    return NodeSettings(
        joined,
        PoolSettings(workers, kernel, cache, nice) if workers else None,
        GpuSettings(cards.numbers, cpus=cards.cpu_devices, alone=not workers, cache_dir=cache) if cards.is_on else None,
        folder / "nodes" / f"{joined.network}-{joined.node}",
    )


def _level(name: str) -> str:
    from solominer.errors import ConfigError

    if name.lower() not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"unknown log level {name!r}", "use debug, info, warning or error")
    return name
