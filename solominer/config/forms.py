"""Parsers of hosts, addresses, durations, sizes and paths in settings.

All raise ValueError without quoting the value, which may be a misplaced secret.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from solominer.config.password_file import CREDENTIALS
from solominer.config.paths import expanded
from solominer.errors import ConfigError

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PORT = re.compile(r"[0-9]{1,5}")
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(%|°?[A-Za-z]*)")
_WILDCARD = re.compile(r"(\*|0\.0\.0\.0|\[::\]|::):([0-9]+)")
_UNSET = re.compile(r"\$(?:(\w+)|\{(\w*)\})")

MAX_SOCKET_PATH_BYTES = 107

SECONDS = {
    **dict.fromkeys(("ms", "msec", "milliseconds"), 0.001),
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
DAYS = {
    **dict.fromkeys(("", "d", "day", "days"), 1.0),
    **dict.fromkeys(("w", "week", "weeks"), 7.0),
    **dict.fromkeys(("y", "year", "years"), 365.0),
}
GIGABYTES = {
    **dict.fromkeys(("m", "mb", "mib"), 2.0**-10),
    **dict.fromkeys(("", "g", "gb", "gib"), 1.0),
    **dict.fromkeys(("t", "tb", "tib"), 2.0**10),
}
SHARE = {"": 1.0, "%": 0.01}
CELSIUS = dict.fromkeys(("", "c", "°c"), 1.0)
WATTS = {"": 1.0, "w": 1.0, "kw": 1000.0}
RATE = {
    f"{prefix}{unit}": 1000.0**power
    for power, prefix in enumerate(("", "k", "m", "g", "t", "p"))
    for unit in ("", "h", "hps")
}
PLAIN = {"": 1.0}


def bracketed(host: str) -> str:
    """A host as in HOST:PORT: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def system_words(error: OSError) -> str:
    """What the system says of a connection or a listener, not asyncio's sentence, which repeats the address."""
    if not error.errno or error.errno < 0 or isinstance(error, ssl.SSLError):  # below 0: a name that is not found
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)


def is_address(host: str) -> bool:
    """Whether it is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def port_as_text(value: Any) -> Any:
    """A bare port number, which YAML reads as an int, as text; anything else as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def quantity(units: dict[str, float], example: str) -> Callable[[Any], Any]:
    """A parser of numbers followed by one of `units`; the error shows `example`."""

    def read(value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value if isinstance(value, float) or abs(value) < 1 << 64 else float("inf")
        match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 100 else None
        if match is None or match[2].lower() not in units:
            raise ValueError(f"must be a number, as in {example}")
        return float(match[1]) * units[match[2].lower()]

    return read


def whole(value: Any) -> Any:
    """A whole number, or a string with one."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
        return int(value)
    if isinstance(value, bool | str) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("must be a whole number")  # bool is a subclass of int
    if not isinstance(value, int | float):
        raise ValueError("must be a whole number")
    return value


def whole_or(*words: str) -> Callable[[Any], Any]:
    """A parser of whole numbers and these words."""

    def read(value: Any) -> Any:
        lowered = value.strip().lower() if isinstance(value, str) else value
        if lowered in words:
            return lowered
        try:
            return whole(lowered)
        except ValueError:
            raise ValueError(f"must be a whole number, or {' or '.join(words)}") from None

    return read


def lowered(value: Any) -> Any:
    """A case-insensitive name."""
    return value.strip().lower() if isinstance(value, str) else value


def path_from(value: Any) -> Any:
    """A path with `~` and environment variables expanded."""
    if not isinstance(value, str | Path):
        return value
    text = str(value).strip() if isinstance(value, str) else str(value)
    if not text:
        raise ValueError("the path is empty; remove the setting to use its default")
    text = os.path.expandvars(text)
    if any((match[1] or match[2]) != CREDENTIALS for match in _UNSET.finditer(text)):
        raise ValueError("the path contains an environment variable ($NAME) that is not set")
    try:
        return expanded(Path(text), "it")
    except ConfigError as error:
        raise ValueError(f"the path begins with ~, and {error.what}; write it in full") from None


def host_and_port(text: str) -> tuple[str, int | None]:
    """Parse HOST, HOST:PORT or http://HOST[:PORT][/] to host (IPv6 without brackets) and port.

    A wildcard address (rpcbind=0.0.0.0) becomes the loopback address.
    """
    rest = text.strip()
    scheme, separator, behind = rest.partition("://")
    if separator:
        if scheme.lower() == "https":
            raise ValueError("Bitcoin Core does not support https; use http://, and a VPN or ssh -L for a remote node")
        if scheme.lower() != "http":
            raise ValueError("write HOST, HOST:PORT or http://HOST:PORT")
        rest = behind
    if "@" in rest:
        raise ValueError("must not contain a login; set username, and password_file or password")
    rest, slash, path = rest.partition("/")
    if path or "?" in rest or "#" in rest:
        raise ValueError("must not contain a path; write HOST or HOST:PORT")
    if slash and not separator:
        raise ValueError("write HOST or HOST:PORT, without a slash")
    host, port = _split(rest)
    return _checked_host(host), None if port is None else _checked_port(port)


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, behind = text[1:].partition("]")
        if not bracket or (behind and not behind.startswith(":")):
            raise ValueError("write an IPv6 address with its port as [::1]:8332")
        _checked_v6(host)
        return host, behind[1:] if behind else None
    if text.count(":") > 1:
        return _checked_v6(text), None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _checked_v6(text: str) -> str:
    try:
        IPv6Address(text)
    except ValueError:
        raise ValueError("not a valid IPv6 address; write one with a port as [::1]:8332") from None
    return text


def _checked_port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 0 < int(text) < 1 << 16:
        raise ValueError("the port must be a number from 1 to 65535")
    return int(text)


def _checked_host(text: str) -> str:
    if text in ("0.0.0.0", "*"):
        return "127.0.0.1"
    if ":" in text:
        return "::1" if IPv6Address(text) == IPv6Address("::") else text
    try:
        ascii_text = text.encode("idna").decode() if text else ""
    except UnicodeError:
        ascii_text = ""
    labels = ascii_text.removesuffix(".").split(".")
    if not ascii_text or len(ascii_text) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("not a valid host name or address; write HOST or HOST:PORT")
    if labels[-1].isdigit():
        try:
            IPv4Address(ascii_text)
        except ValueError:
            raise ValueError("not a valid IPv4 address; write four numbers from 0 to 255, as in 10.0.0.5") from None
    return ascii_text


def listen_address(text: str, default_port: int) -> tuple[str, int, str]:
    """Parse PORT, HOST, HOST:PORT, :PORT, *:PORT or unix:/path to (host, port, path of a Unix socket).

    A `stratum+tcp://` prefix is accepted. The default host is 0.0.0.0.
    """
    rest = text.strip()
    scheme, separator, behind = rest.partition("://")
    if separator:
        if scheme.lower() not in ("stratum+tcp", "tcp", "stratum"):
            raise ValueError("write ADDRESS:PORT; TLS is set by tls_certificate")
        rest = behind.removesuffix("/")
    if rest.startswith(("unix:", "/")):
        path = rest.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ValueError("write a Unix socket as unix:/path/of/the/socket")
        if len(path.encode()) > MAX_SOCKET_PATH_BYTES:
            raise ValueError(f"the path of a Unix socket must not exceed {MAX_SOCKET_PATH_BYTES} bytes")
        return "", 0, path
    if "@" in rest or "/" in rest:
        raise ValueError("write ADDRESS:PORT, without a login or a path")
    if rest.isdigit() and rest.isascii():
        rest = f":{rest}"
    host, port = _split(rest)
    return _listening_host(host), default_port if port is None else _checked_port(port), ""


def _listening_host(host: str) -> str:
    if host in ("", "*", "0.0.0.0"):
        return "0.0.0.0"
    if ":" in host and IPv6Address(host) == IPv6Address("::"):
        return "::"
    return _checked_host(host)


def zmq_address(text: str) -> str:
    """Normalize a ZMQ address, perhaps copied from bitcoin.conf: `zmqpub…=` is removed, a missing `tcp://` is added.

    Wildcards (`*`, `0.0.0.0`, `[::]`) are kept for `zmq_seen_from`.
    """
    rest = re.sub(r"^zmqpub\w+\s*=\s*", "", text.strip())
    if rest.startswith(("ipc://", "unix:")):
        path = rest.removeprefix("ipc://").removeprefix("unix:")
        if not path:
            raise ValueError("ipc:// requires a path")
        path = path if path.startswith("@") else str(path_from(path))
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise ValueError(f"the path of a socket must not exceed {MAX_SOCKET_PATH_BYTES} bytes")
        return f"ipc://{path}"
    scheme, separator, behind = rest.partition("://")
    if separator and scheme.lower() != "tcp":
        raise ValueError("a ZMQ address must begin with tcp:// or ipc://, as in tcp://127.0.0.1:28332")
    rest = (behind if separator else rest).removesuffix("/")
    wildcard = _WILDCARD.fullmatch(rest)
    if wildcard:
        return f"tcp://{wildcard[1]}:{_checked_port(wildcard[2])}"
    host, port = host_and_port(rest)
    if port is None:
        raise ValueError("a ZMQ address needs a port, as in tcp://127.0.0.1:28332 or tcp://[::1]:28332")
    return f"tcp://{bracketed(host)}:{port}"


def zmq_seen_from(address: str | None, host: str) -> str | None:
    """The address to connect to: the node's `host` replaces a wildcard."""
    wildcard = _WILDCARD.fullmatch((address or "").removeprefix("tcp://"))
    if wildcard is None:
        return address
    return f"tcp://{bracketed(host)}:{wildcard[2]}"
