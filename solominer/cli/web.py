"""`solominer web`: the web server beside a daemon that is already running."""

from typing import Annotated

import typer

from solominer.cli import web_tokens
from solominer.cli.control import ConfigOption, DataDirOption, ModeOption

web = typer.Typer(help="The web server: page, API and metrics.", rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    web_tokens.register(web)
    app.add_typer(web, name="web")


@web.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    config: ConfigOption = None,
    mode: ModeOption = None,
    data_dir: DataDirOption = None,
    listen: Annotated[str | None, typer.Option(help="ADDRESS:PORT, instead of the config's.")] = None,
) -> None:
    """Serve the page, the API and the metrics of a daemon on this machine until Ctrl-C.

    The daemon does this by itself with `solominer run --web` or `web.enabled`.

    \b
    solominer web --config config.json
    """
    if context.invoked_subcommand is not None:
        if any((config, mode, data_dir, listen)):
            raise typer.BadParameter(f"options come after {context.invoked_subcommand} and its command")
        return
    import asyncio

    from solominer.config.load import load_config
    from solominer.errors import ConfigError
    from solominer.views.logs import set_up_logging

    settings = load_config(config, overrides={"mode": mode, "data_dir": data_dir, "web.listen": listen})
    try:
        from solominer.web.app import create_app
        from solominer.web.server import WebServer
        from solominer.web.setup import WebSetup
        from solominer.web.site import Site
    except ImportError as error:
        raise ConfigError(f"the web server needs {error.name}", 'install it: pip install "solominer[web]"') from error
    set_up_logging(settings.log_level, live_view=False)
    setup = WebSetup.of(settings, config)
    server = WebServer(create_app(Site.of(setup)), setup.web)
    asyncio.run(server.serve(lambda: typer.echo(f"the web page is at {server.url}")))
