"""`solominer web token`: who may use the web server from another machine."""

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solominer.cli.control import ConfigOption, DataDirOption, ModeOption
from solominer.cli.options import JsonOption

if TYPE_CHECKING:
    from solominer.config.models import Config

token = typer.Typer(help="Access tokens of the web server.", rich_markup_mode=None, no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The token's name, such as phone.")]


class RoleName(StrEnum):
    """As web.access.tokens.Role, which is not loaded until a command runs."""

    read = "read"
    control = "control"
    share = "share"


def register(web: typer.Typer) -> None:
    """Add the commands of this module."""
    web.add_typer(token, name="token")


@token.command()
def add(
    name: NameArgument,
    role: Annotated[
        RoleName, typer.Option(help="read: look; control: also pause, resume and reload; share: a link to look.")
    ] = RoleName.read,
    days: Annotated[
        float | None, typer.Option(min=0.001, max=36_500, help="Days until it expires; default: never.")
    ] = None,
    config: ConfigOption = None,
    mode: ModeOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it. It is not shown again: only its hash is kept.

    \b
    solominer web token add phone --role control
    solominer web token add friends --role share --days 7
    """
    from solominer.web.access.tokens import Role, TokenFile

    settings = _settings(config, mode, data_dir)
    secret = TokenFile(settings.tree_dir).add(name, Role(role.value), time.time(), days)
    link = f"{_address(settings)}share/{secret}" if role is RoleName.share else None
    if as_json:
        typer.echo(json.dumps({"name": name, "role": role.value, "token": secret, "link": link}))
    else:
        typer.echo(link or secret)


@token.command("list")
def list_tokens(
    config: ConfigOption = None, mode: ModeOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """List the tokens: name, role, when they expire and when they were last used."""
    from solominer.records.tree import utc_text
    from solominer.web.access.tokens import TokenFile

    file = TokenFile(_settings(config, mode, data_dir).tree_dir)
    tokens, uses, now = file.load(), file.load_uses(), time.time()
    if as_json:
        rows = [
            {
                "name": each.name,
                "role": each.role.value,
                "created_at": each.created_at,
                "expires_at": each.expires_at,
                "last_used_at": uses.get(each.hash),
            }
            for each in tokens
        ]
        typer.echo(json.dumps(rows))
        return
    for each in tokens:
        ends = "never expires" if each.expires_at is None else f"expires {utc_text(each.expires_at)}"
        used = f"last used {utc_text(uses[each.hash])}" if each.hash in uses else "never used"
        typer.echo(f"{each.name}: {each.role}, {'expired' if each.has_expired(now) else ends}, {used}")
    if not tokens:
        typer.echo("there are no tokens: make one with `solominer web token add NAME --role read`")


@token.command()
def revoke(
    name: NameArgument, config: ConfigOption = None, mode: ModeOption = None, data_dir: DataDirOption = None
) -> None:
    """Revoke a token: it, its logins and its link are refused from now on."""
    from solominer.web.access.tokens import TokenFile

    TokenFile(_settings(config, mode, data_dir).tree_dir).revoke(name)
    typer.echo(f"revoked {name}")


def _settings(config: Path | None, mode: str | None, data_dir: Path | None) -> "Config":
    from solominer.config.load import load_config

    return load_config(config, overrides={"mode": mode, "data_dir": data_dir})


def _address(settings: "Config") -> str:
    """The address of the page as far as the configuration tells it."""
    web = settings.web
    host, port = web.place
    scheme = "http" if web.tls_certificate is None else "https"
    if web.hosts:
        host = web.hosts[0]
    elif host in ("0.0.0.0", "::"):
        host = "ADDRESS-OF-THIS-MACHINE"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"
