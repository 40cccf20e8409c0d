"""`solominer cluster`: certificates and nodes of a cluster, on the head."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solominer.cli.control import ConfigOption, DataDirOption, ModeOption, ask_daemon
from solominer.cli.options import JsonOption

if TYPE_CHECKING:
    from solominer.config.models import Config
    from solominer.setup.cluster.folder import ClusterFolder

cluster = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

DirOption = Annotated[
    Path | None, typer.Option("--dir", help="The cluster's folder; default: cluster in the data folder.")
]
NodeArgument = Annotated[str, typer.Argument(help="The node's name: a-z, 0-9 and -.")]
NodesArgument = Annotated[list[str], typer.Argument(metavar="NODE...", help="Names of nodes: a-z, 0-9 and -.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(cluster, name="cluster")


@cluster.callback()
def _packages() -> None:
    """Many machines: certificates, nodes, their state."""
    from solominer.engines.cluster.packages import need_packages

    need_packages()


@cluster.command()
def init(
    node: Annotated[list[str] | None, typer.Option(help="Name of a node to add; may be repeated.")] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(help="nats://HOST:PORT under which nodes reach the server; repeat it for three."),
    ] = None,
    directory: DirOption = None,
    payout_script: Annotated[
        list[str] | None,
        typer.Option(help="Output script that blocks pay, in hex; default: the configuration's payees."),
    ] = None,
    server_files: Annotated[
        str | None, typer.Option(help="Folder with these files on the servers; default: this one.")
    ] = None,
    server_store: Annotated[
        str | None, typer.Option(help="Folder for the servers' own data; default: jetstream in it.")
    ] = None,
    config: ConfigOption = None,
    mode: ModeOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make the certificates of a cluster, nats.conf, and a join file for each node.

    Given again, it adds nodes, takes over new servers and payees, and renews what expires within 60 days. Keys are
    never replaced.

    \b
    solominer cluster init --config config.json --node rack1 --node rack2
    solominer cluster init --config config.json --server nats://head.lan:4222
    """
    from solominer.setup.cluster.folder import ClusterFolder
    from solominer.setup.cluster.plan import wanted_cluster

    settings = _settings(config, mode, data_dir, directory)
    folder = ClusterFolder(settings.cluster_dir)
    wanted = wanted_cluster(settings, folder, server or (), payout_script or (), server_files, server_store)
    made = folder.init(wanted)
    typer.echo(f"the cluster's files are in {folder.path}; keep a copy of it where nobody else can read it")
    typer.echo(f"nodes connect to {', '.join(made.servers)}; for another address: --server")
    if not made.payout_scripts:
        typer.echo("nodes do not check whom blocks pay: on regtest the private node's wallet is not known yet")
    for path in folder.add(*(name for name in node or () if name not in made.nodes)):
        typer.echo(f"join file of {path.stem}: {path}")
    typer.echo(_reloaded(folder))


@cluster.command()
def add(
    nodes: NodesArgument,
    renew: Annotated[
        bool, typer.Option("--renew", help="New certificates for known nodes; the old ones are refused.")
    ] = False,
    directory: DirOption = None,
    config: ConfigOption = None,
    mode: ModeOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write the join files of more nodes. Each contains a private key: copy it to its machine alone.

    \b
    solominer cluster add rack7 rack8 --config config.json
    """
    folder = _folder(config, mode, data_dir, directory)
    for path in folder.add(*nodes, renew=renew):
        typer.echo(f"join file of {path.stem}: {path}")
    typer.echo(_reloaded(folder))


@cluster.command()
def remove(
    node: NodeArgument,
    directory: DirOption = None,
    config: ConfigOption = None,
    mode: ModeOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Refuse a node from now on, whoever has its join file. What it has found before still counts."""
    from solominer.cli.control import ask_daemon
    from solominer.errors import SolominerError

    folder = _folder(config, mode, data_dir, directory)
    folder.remove(node)
    typer.echo(f"removed {node}")
    typer.echo(_reloaded(folder))
    with suppress(SolominerError):  # no daemon runs here: there is nobody to show it
        ask_daemon({"do": "cluster-remove", "node": node}, config, mode, data_dir)


@cluster.command()
def drain(
    node: NodeArgument, config: ConfigOption = None, mode: ModeOption = None, data_dir: DataDirOption = None
) -> None:
    """Have a node send what it has, stop hashing and end; its service starts it again only when asked to."""
    ask_daemon({"do": "cluster-drain", "node": node, "by": "solominer cluster drain"}, config, mode, data_dir)
    typer.echo(f"{node} was told to finish and end")


@cluster.command()
def status(
    config: ConfigOption = None, mode: ModeOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Show the nodes of the running daemon: state, workers, hash rate, shares."""
    from solominer.views.cluster import node_lines, nodes_in

    reply = ask_daemon({"do": "status", "by": "solominer cluster status"}, config, mode, data_dir)
    nodes = nodes_in(reply["status"]["workers"])
    typer.echo(json.dumps(nodes) if as_json else "\n".join(node_lines(nodes)))


def _settings(config: Path | None, mode: str | None, data_dir: Path | None, directory: Path | None) -> "Config":
    from solominer.config.load import load_config
    from solominer.config.paths import absolute

    overrides: dict[str, Any] = {"mode": mode, "data_dir": data_dir}
    if directory is not None:
        overrides["cluster.dir"] = absolute(directory)
    return load_config(config, overrides=overrides)


def _folder(config: Path | None, mode: str | None, data_dir: Path | None, directory: Path | None) -> "ClusterFolder":
    from solominer.setup.cluster.folder import ClusterFolder

    return ClusterFolder(_settings(config, mode, data_dir, directory).cluster_dir)


def _reloaded(folder: "ClusterFolder") -> str:
    from solominer.engines.cluster.nats_server import reload_server

    if reload_server(Path(folder.read().server_store)):
        return "the server here has read its configuration again"
    return f"no nats-server runs here with these files: where one does, copy {folder.path}/nats.conf and reload it"
