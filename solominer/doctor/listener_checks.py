"""Checks of our Stratum listeners: the work that they send if the daemon runs, otherwise whether it can listen."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from solominer.chain.networks import Network
from solominer.config import forms
from solominer.config.listeners import ListenerConfig
from solominer.config.models import Config
from solominer.doctor.check import Check, CheckOutcome, Finding, failed, ok, run_checks, skipped, warning
from solominer.doctor.stratum_link import Server, served_certificate
from solominer.doctor.stratum_talk import Login, Patience, Talk
from solominer.doctor.stratum_trial import Trial
from solominer.doctor.stratum_work import group_payouts_outcome, own_payouts_outcome
from solominer.engines.stratum.addresses import listens_on, reachable
from solominer.engines.stratum.assignment import Assignment, CoinbaseView
from solominer.engines.stratum.tls import CertificateFacts, certificate_facts
from solominer.errors import SolominerError
from solominer.records.control_client import ask
from solominer.work.payout import WHOLE

Payees = tuple[tuple[str, int], ...]

RENEW_SECS = 14 * 86400.0
WORKER = "solominer-doctor"
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def examine_listeners(config: Config, patience: Patience | None = None) -> Iterator[Finding]:
    """All checks of each listener, with its address as the subject. No share is submitted to a running daemon."""
    if not config.stratum:
        return
    daemon = _daemon(config)
    for listener in config.stratum:
        if daemon is None:
            yield from run_checks(_idle_checks(listener), listener.listen)
        else:
            yield from _examine_running(listener, config.chain, daemon, patience or Patience())


class _Daemon(NamedTuple):
    """Of a running daemon: (address, basis points) of the expected payees, () in a simulation, and its addresses."""

    payees: Payees
    urls: tuple[str, ...]


def _daemon(config: Config) -> _Daemon | None:
    """None if no daemon is running, or one that stands by."""
    try:
        status = ask(config.tree_dir, {"do": "status"})["status"]
    except SolominerError:
        return None
    urls = tuple(map(str, status["stratum_urls"]))
    if config.mode_rules.simulated:
        return _Daemon((), urls)
    return _Daemon(config.payees if config.payees[0][0] else ((str(status["payout"]), WHOLE),), urls)


# With a running daemon


def _examine_running(
    listener: ListenerConfig, network: Network, daemon: _Daemon, patience: Patience
) -> Iterator[Finding]:
    server, payees = _server_of(listener), daemon.payees
    user = f"{payees[0][0]}.{WORKER}" if payees else WORKER
    login = Login(user, "x", WORKER, 0.0)
    if listener.v2 == "only":
        yield from _examine_v2(listener, login, network, daemon, patience)
        return
    talk = Talk(server, login, patience)
    trial = Trial(talk, lambda assignment, view, user: _outputs(view, listener, payees, network))
    connect, *steps = trial.job_checks()
    checks = [
        replace(connect, run=lambda: _connected(connect)),
        *steps,
        Check("address", lambda: _address(listener)),
    ]
    if listener.tls_certificate is not None:
        checks.append(Check("certificate", lambda: _served(listener, server), ("connect",)))
    with closing(talk.link):
        yield from run_checks(checks, listener.listen)


def _examine_v2(
    listener: ListenerConfig, login: Login, network: Network, daemon: _Daemon, patience: Patience
) -> Iterator[Finding]:
    """A listener for Stratum V2 alone, with the key that the daemon shows."""
    from solominer.doctor.stratum_v2_trial import V2Trial
    from solominer.engines.stratum.v2.certificate import parse_key

    keys = [url.rpartition("/")[2] for url in daemon.urls if url.startswith("stratum2+tcp://")]
    key = parse_key(keys[0]) if keys else bytes(32)

    def outputs(assignment: Assignment, view: CoinbaseView, user: str) -> CheckOutcome:
        return _outputs(view, listener, daemon.payees, network)

    with closing(V2Trial(_server_of(listener), key, login, patience, outputs)) as trial:
        yield from run_checks([*trial.job_checks(), Check("address", lambda: _address(listener))], listener.listen)


def _outputs(view: CoinbaseView, listener: ListenerConfig, payees: Payees, network: Network) -> CheckOutcome:
    if not payees:
        return skipped("a simulation has no payout address")
    if listener.payout == "group":
        return group_payouts_outcome(view, network)
    return own_payouts_outcome(view, payees if listener.payout == "config" else ((payees[0][0], WHOLE),), network)


def _connected(connect: Check) -> CheckOutcome:
    try:
        return connect.run()
    except SolominerError as error:
        return failed(error.what, "run `solominer reload` if its listeners have changed; otherwise check its log")


def _server_of(listener: ListenerConfig) -> Server:
    """The listener's address from this machine, with a PROXY header if the listener trusts this machine as a proxy."""
    host, port, path = listener.place
    host = _LOOPBACK.get(host, host)
    greeting = b"PROXY UNKNOWN\r\n" if host in listener.proxies else b""
    return Server(host or "localhost", port, listener.tls_certificate is not None, path, greeting)


def _served(listener: ListenerConfig, server: Server) -> CheckOutcome:
    """Check the certificate, and that the server uses the current file."""
    facts = certificate_facts(*_files(listener))
    if served_certificate(server) != facts.der:
        return warning(
            f"the server uses an older certificate than {listener.tls_certificate}",
            "run `solominer reload` to load the new file",
        )
    return _validity(facts)


# Without a running daemon


def _idle_checks(listener: ListenerConfig) -> list[Check]:
    host, port, path = listener.place
    checks = [
        Check("listen", lambda: _unix_socket(Path(path)) if path else _port(host, port)),
        Check("address", lambda: _address(listener)),
    ]
    if listener.tls_certificate is not None:
        checks.append(Check("certificate", lambda: _validity(certificate_facts(*_files(listener)))))
    return checks


def _port(host: str, port: int) -> CheckOutcome:
    """Bind the port as the server does."""
    try:
        for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            socket.create_server(address[:2], family=family).close()
    except OSError as error:  # socket.gaierror too
        return failed(*_why_not(host, port, error))
    return ok("the daemon is not running, and the port is free")


def _why_not(host: str, port: int, error: OSError) -> tuple[str, str]:
    """The problem, and what to do."""
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"port {port} is in use",
                "stop the program that uses it (ss -ltnp), or set another port; if a daemon runs, use its user",
            )
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine", "set one of its addresses, or 0.0.0.0 for all"
        case errno.EACCES:
            return f"this user may not listen on port {port}", "set a port of 1024 or above"
    return f"cannot listen: {error.strerror or error}", "set another address"


def _unix_socket(path: Path) -> CheckOutcome:
    folder = path.parent
    if not folder.is_dir():
        return failed(f"folder {folder} does not exist", "create it, writable by the user that runs solominer")
    if not os.access(folder, os.W_OK | os.X_OK):
        return failed(f"this user may not write to {folder}", "change its permissions, or set another path")
    if listens_on(path):
        return failed("another program listens on this socket", "stop it, or set another path")
    if path.exists() and not path.is_socket():
        return failed(f"{path} exists but is not a socket", "remove it, or set another path")
    return ok("the daemon is not running, and the socket can be created")


# Both


def _address(listener: ListenerConfig) -> CheckOutcome:
    """Check who can connect, and show the URLs for miners."""
    host, port, path = listener.place
    if path:
        return ok("only programs on this machine")
    scheme = "stratum+tcp" if listener.tls_certificate is None else "stratum+ssl"
    scheme = "stratum2+tcp" if listener.v2 == "only" else scheme
    urls = reachable(f"{scheme}://{listener.listen}")
    if forms.is_loopback(host) and not listener.proxies:
        return warning(
            f"only miners on this machine can connect, to {urls[0]}", f"listen on 0.0.0.0:{port} to allow others"
        )
    if host in _LOOPBACK and urls == [f"{scheme}://{listener.listen}"]:
        return warning("this machine has no network address", "connect it to the network of the miners")
    return ok(f"miners connect to {' or '.join(urls)}; firewalls must allow port {port}")


def _files(listener: ListenerConfig) -> tuple[str, str]:
    return str(listener.tls_certificate), str(listener.tls_key or "")


def _validity(facts: CertificateFacts) -> CheckOutcome:
    days = (facts.expires_at - time.time()) / 86400
    text = f"for {', '.join(facts.names) or 'no host name'}, valid for {days:.0f} more days"
    if days * 86400 < RENEW_SECS:
        return warning(text, "renew it")
    if not facts.names:
        return warning(text, "miners that verify it reject it: create one for the host name that they connect to")
    return ok(text)
