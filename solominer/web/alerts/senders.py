"""Sending one alert to one destination: ntfy, a webhook, mail, or any service of Apprise. Blocking; run in a thread."""

from __future__ import annotations

import json
import smtplib
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from urllib.parse import urlsplit

from pydantic import SecretStr

from solominer import __version__
from solominer.config.alerts import AlertsConfig, SmtpConfig
from solominer.config.password_file import read_password
from solominer.engines.pool.processes import python_command
from solominer.errors import ConfigError, SolominerError
from solominer.web.alerts.state import Alert, public

TIMEOUT_SECS = 20.0
APPRISE_SECS = 60.0
_MOST_REPLY_BYTES = 4096

Send = Callable[[Alert], None]
"""Raises SendFailed."""


class SendFailed(SolominerError):
    """A destination did not take an alert. The message holds neither its URL nor a password."""


def senders(config: AlertsConfig) -> dict[str, Send]:
    """All configured destinations, by name."""
    found: dict[str, Send] = {}
    if config.ntfy is not None:
        found["ntfy"] = _ntfy(config.ntfy, config.ntfy_token)
    if config.webhook is not None:
        webhook = config.webhook
        found["webhook"] = lambda alert: _post(webhook, public(alert))
    if config.smtp.host:
        found["mail"] = partial(_mail, config.smtp)
    for number, url in enumerate(config.apprise, 1):
        found[f"apprise {number}"] = partial(_apprise, url)
    return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token must not follow to another host."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def request(url: SecretStr, body: bytes | None = None, headers: dict[str, str] | None = None) -> None:
    """A GET, or with `body` a POST request that must be answered with 2xx. Raises SendFailed."""
    headers = {"User-Agent": f"solominer/{__version__}", **(headers or {})}
    try:
        built = urllib.request.Request(url.get_secret_value(), body, headers)
        with _opener.open(built, timeout=TIMEOUT_SECS) as reply:
            reply.read(_MOST_REPLY_BYTES)
    except urllib.error.HTTPError as error:
        error.close()
        raise SendFailed(f"it answered {error.code}", "check the URL and its token") from None
    except (OSError, ValueError) as error:
        raise SendFailed(f"it cannot be reached: {_reason(error)}", "check the URL and the network") from None


def _reason(error: Exception) -> str:
    """Without the URL, which other errors than these may contain."""
    inner = getattr(error, "reason", error)
    if isinstance(inner, ssl.SSLError):
        return inner.reason or "TLS error"
    return (inner.strerror if isinstance(inner, OSError) else None) or type(inner).__name__


def _ntfy(url: SecretStr, token: SecretStr | None) -> Send:
    """https://docs.ntfy.sh/publish: the body is JSON, posted to the server's root."""
    parts = urlsplit(url.get_secret_value())
    base, _, topic = parts.path.rstrip("/").rpartition("/")
    root = SecretStr(f"{parts.scheme}://{parts.netloc}{base}/")
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}

    def send(alert: Alert) -> None:
        body = {
            "topic": topic,
            "title": alert.title,
            "message": alert.text or alert.title,
            "priority": alert.priority,
            "tags": ["white_check_mark" if alert.recovered else "pick" if alert.kind == "block" else alert.kind],
        }
        _post(root, body, headers)

    return send


def _post(url: SecretStr, body: object, headers: dict[str, str] | None = None) -> None:
    request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


def _mail(config: SmtpConfig, alert: Alert) -> None:
    """One mail to all recipients."""
    mail = EmailMessage()
    mail["From"], mail["To"] = config.sender or config.to[0], ", ".join(config.to)
    mail["Subject"] = f"[solominer] {' '.join(alert.title.split())}"
    mail["Date"], mail["Message-ID"] = formatdate(alert.at), make_msgid(domain="solominer.invalid")
    mail.set_content(alert.text or alert.title)
    try:
        with _connected(config) as server:
            server.send_message(mail)
    except smtplib.SMTPResponseException as error:
        raise SendFailed(f"the mail server answered {error.smtp_code}", "check alerts.smtp") from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise SendFailed(f"the mail server cannot be used: {_reason(error)}", "check alerts.smtp") from None


def _connected(config: SmtpConfig) -> smtplib.SMTP:
    context, password = ssl.create_default_context(), _password(config)
    if config.encryption == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(config.host, config.port, timeout=TIMEOUT_SECS, context=context)
    else:
        server = smtplib.SMTP(config.host, config.port, timeout=TIMEOUT_SECS)
    try:
        if config.encryption == "starttls":
            server.starttls(context=context)
        if config.username and password:
            server.login(config.username, password)
    except BaseException:
        server.close()
        raise
    return server


def _password(config: SmtpConfig) -> str:
    if config.password_file is None:
        return config.password.get_secret_value() if config.password else ""
    try:
        return read_password(config.password_file)
    except ConfigError as error:
        raise SendFailed(error.what, error.todo) from None


def _apprise(url: SecretStr, alert: Alert) -> None:
    """In a process of its own: it takes tens of megabytes. The URL, which is a secret, goes by standard input."""
    command, environment = python_command("solominer.web.alerts.apprise_process")
    letter = {"url": url.get_secret_value(), "title": alert.title, "body": alert.text or alert.title}
    try:
        done = subprocess.run(
            command, input=json.dumps(letter).encode(), env=environment, capture_output=True, check=False,
            timeout=APPRISE_SECS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SendFailed(f"Apprise cannot be run: {type(error).__name__}", "try it again") from None
    if done.returncode == MISSING:
        raise SendFailed("the package apprise is not installed", "pip install apprise")
    if done.returncode:
        raise SendFailed("Apprise could not deliver it", "check the URL with the command `apprise`")


MISSING = 3
"""Exit code of the process without the package."""
