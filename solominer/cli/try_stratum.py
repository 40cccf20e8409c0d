"""`solominer try-stratum`: tests any Stratum server as a miner, V1 or V2."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from solominer.cli.options import some_secs

if TYPE_CHECKING:
    from solominer.doctor.check import Finding
    from solominer.doctor.stratum_link import Server
    from solominer.doctor.stratum_talk import Login

_SCHEMES = {"stratum+tcp": False, "stratum": False, "tcp": False, "stratum+ssl": True, "stratum+tls": True, "ssl": True}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("try-stratum")(try_stratum)


def try_stratum(
    server: Annotated[
        str,
        typer.Argument(
            metavar="HOST:PORT",
            help="The server, also as stratum+tcp://HOST:PORT; for Stratum V2 stratum2+tcp://HOST:PORT/KEY.",
        ),
    ],
    user: Annotated[
        str, typer.Option(help="Username; for most solo servers ADDRESS or ADDRESS.WORKER.")
    ] = "solominer-trial",
    password: Annotated[
        str, typer.Option(help="Password; some servers read a difficulty from it, as in d=1024.")
    ] = "x",
    tls: Annotated[
        bool, typer.Option("--tls", help="Use TLS; an invalid certificate is reported, not refused.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.0, callback=some_secs, help="Seconds to wait for another job at the end.")
    ] = 60.0,
    agent: Annotated[
        str | None, typer.Option(help="User agent; some servers choose difficulty and coinbase by it.")
    ] = None,
) -> None:
    """Test any Stratum server as a miner, and report each step.

    Logs in, reads the first job (height, outputs, size), finds a share if the difficulty is low enough, and submits
    invalid ones: a duplicate, one of an unknown job, one above the target. Exit code: 0 passed (perhaps with
    warnings), 1 failed or no Stratum server, 2 invalid argument.

    \b
    solominer try-stratum 127.0.0.1:3333
    solominer try-stratum pool.example.org:4333 --tls --user bc1q....rig --seconds 120
    solominer try-stratum stratum2+tcp://127.0.0.1:3333/9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh
    """
    where, trial = _trial_of(server, tls=tls)
    from solominer import __version__
    from solominer.cli.operate import _show
    from solominer.doctor.check import Status, first_failed
    from solominer.doctor.stratum_talk import Login

    findings = []
    for finding in trial(Login(user, password, agent or f"solominer/{__version__}", seconds)):
        findings.append(finding)
        if finding.status is not Status.SKIPPED or first_failed(findings) is None:
            _show(finding)  # checks skipped after a failure are not shown
    fault = first_failed(findings)
    warnings = sum(finding.status is Status.WARNING for finding in findings)
    warned = f", {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
    verdict = "passed" if fault is None else f"failed: see {fault.check!r}"
    typer.echo(f"{where}: {verdict}{warned}")
    raise typer.Exit(0 if fault is None else 1)


def _trial_of(text: str, *, tls: bool) -> "tuple[Server, Callable[[Login], Iterator[Finding]]]":
    """The server, and what tries it. Raises ConfigError."""
    from solominer.errors import BadValue, ConfigError

    scheme, _, rest = text.partition("://")
    if scheme.lower() != "stratum2+tcp":
        from solominer.doctor.stratum_trial import try_server

        where = parse_server(text, tls=tls)
        return where, partial(try_server, where)
    try:
        from solominer.doctor.stratum_v2_trial import try_v2_server
        from solominer.engines.stratum.v2.certificate import parse_key
    except ImportError as error:
        raise ConfigError(
            f"Stratum V2 needs the package {error.name}", "install it: pip install 'solominer[stratum2]'"
        ) from error
    place, _, key = rest.partition("/")
    where = parse_server(place)
    try:
        return where, partial(try_v2_server, where, parse_key(key.rstrip("/")))
    except BadValue as error:
        raise ConfigError(error.what, error.todo) from None


def parse_server(text: str, *, tls: bool = False) -> "Server":
    """Parse HOST:PORT or [IPv6]:PORT, with or without stratum+tcp:// or stratum+ssl://. Raises ConfigError."""
    from solominer.doctor.stratum_link import Server
    from solominer.errors import ConfigError

    scheme, divider, rest = text.partition("://")
    rest = rest.rstrip("/") if divider else scheme
    host, colon, port = rest.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    good = colon and port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) <= 65535
    if (divider and scheme.lower() not in _SCHEMES) or not good or not host or (":" in host and not in_brackets):
        raise ConfigError(f"{text!r:.80} is not HOST:PORT", "write it like 127.0.0.1:3333 or [::1]:3333")
    if any(char.isspace() or not char.isprintable() for char in host) or len(host) > 255:
        raise ConfigError(f"{text!r:.80} is not HOST:PORT", "write it like 127.0.0.1:3333 or [::1]:3333")
    return Server(host.strip("[]"), int(port), tls or (divider != "" and _SCHEMES[scheme.lower()]))
