"""The tree of errors. Each says what is wrong and what to do next, and never contains a secret.

SolominerError
├── ConfigError             config.json, environment or flags are wrong
├── PayoutError             the payout address or script cannot be used
├── SigningRefused          the node's wallet cannot sign the blocks of this signet
├── PlanError               plan.yaml is wrong, or the work done does not follow it
├── AlreadyRunning          another daemon uses the data folder
├── NotRunning              no daemon answers on the control socket
├── BitcoindNotFound        no bitcoind for a private node, and none could be downloaded
├── DecodeError             bytes that are not what they claim to be
│   ├── Truncated
│   ├── TrailingData
│   └── BadValue            well-formed, but not allowed by the rules
├── NodeError               communication with Bitcoin Core
│   ├── NodeUnreachable     refused, reset, no route: retry
│   ├── NodeTimeout         no answer in time; what the node did is unknown: retry
│   ├── NodeAuthFailed      401/403: the cookie or the password is wrong
│   │   └── MethodNotAllowed  403: the method is not in rpcwhitelist
│   ├── NodeNotReady        warming up, shutting down, no peers, initial download: retry
│   ├── RpcFailed           the node answered with a JSON-RPC error
│   ├── IpcFailed           its mining interface (IPC) cannot be used: the same is asked by RPC
│   ├── WrongNetwork        the node is on a different chain than configured
│   └── UnsafeConsensus     the node requires rules that this program does not implement
├── PoolError               a pool that cannot be mined at
├── TemplateError           a getblocktemplate reply that breaks a rule; never mined
├── EngineError             kernels and workers
│   └── DeviceOff           a graphics card that cannot be used, however often it is tried
├── PriceError              no electricity price from its source
└── RecordsError            the dated tree, the journal, the ledger
    ├── JournalFailed       a found block could not be written anywhere
    └── VerifyError         invalid evidence
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

_Error = TypeVar("_Error", bound=BaseException)

LONGEST_TEXT = 4000
"""Maximum characters of an error or log message; the rest is cut."""


def printable(text: str | bytes, limit: int = LONGEST_TEXT) -> str:
    """Escape foreign text for terminals and logs: one line, at most `limit` characters.

    Control characters (including ANSI and C1), line ends, bidirectional marks, lone surrogates and bytes that are not
    UTF-8 become backslash escapes.
    """
    cut = text[: limit + 1]  # before any work on it: it may be huge
    if isinstance(cut, bytes):
        cut = cut.decode(errors="backslashreplace")
    if not cut.isprintable():
        cut = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut)
    return cut if len(cut) <= limit else f"{cut[:limit]}…"


def shortened(text: str, limit: int) -> str:
    """`text`, or both ends of a longer one with `...` between them: at most `limit` characters."""
    if len(text) <= limit:
        return text
    end = (limit - 3) // 2
    return f"{text[: limit - 3 - end]}...{text[len(text) - end :]}"


def printable_lines(text: str, limit: int = LONGEST_TEXT) -> str:
    """As `printable`, but keeps line ends."""
    return (
        text
        if text.isprintable() and len(text) <= limit
        else "\n".join(printable(line, limit) for line in text[:limit].split("\n"))
    )


class SolominerError(Exception):
    """Base of all errors. `what` says what is wrong, `todo` what to do; `exit_code` is that of the process.

    Both may quote foreign text, which is escaped here.
    """

    exit_code = 1

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what, todo)
        self.what = printable_lines(what)
        self.todo = printable_lines(todo)

    def __str__(self) -> str:
        return f"{self.what}\n  -> {self.todo}" if self.todo else self.what


class ConfigError(SolominerError):
    """The configuration cannot be used."""

    exit_code = 2


class PayoutError(ConfigError):
    """The payout address or script cannot be used (rule 29 of the mining rules)."""


class SigningRefused(ConfigError):
    """No wallet of the node can sign the blocks of this signet (BIP 325)."""


class PlanError(ConfigError):
    """plan.yaml is invalid, or work does not follow it; `group` is the part of the plan."""

    def __init__(self, group: str, reason: str, todo: str = "") -> None:
        super().__init__(f"search plan, {group}: {reason}", todo)
        self.group = group
        self.reason = reason


class AlreadyRunning(SolominerError):
    """Another daemon uses the same data folder."""

    exit_code = 3


class NotRunning(SolominerError):
    """No daemon answers on the control socket of a data folder."""

    exit_code = 8


class BitcoindNotFound(SolominerError):
    """A private node was requested and no bitcoind is available."""

    exit_code = 4


class DecodeError(SolominerError):
    """Bytes that are not what they claim to be."""


class Truncated(DecodeError):
    """The data ends before the value does."""


class TrailingData(DecodeError):
    """Bytes are left over after the value."""


class BadValue(DecodeError):
    """A well-formed value that the rules do not allow."""


class NodeError(SolominerError):
    """Communication with Bitcoin Core failed."""

    exit_code = 5


class NodeUnreachable(NodeError):
    """Connection refused, reset or not routable."""


class NodeTimeout(NodeError):
    """No answer in time: whether the node acted is unknown."""


class NodeAuthFailed(NodeError):
    """The node rejected the credentials (HTTP 401 or 403)."""


class MethodNotAllowed(NodeAuthFailed):
    """The RPC user may not call this method (rpcwhitelist)."""


class NodeNotReady(NodeError):
    """The node is up but cannot serve templates yet: warm-up, shutdown, no peers, initial block download."""


class RpcFailed(NodeError):
    """The node answered with a JSON-RPC error with this `code` (src/rpc/protocol.h)."""

    def __init__(self, what: str, todo: str = "", *, code: int = 0) -> None:
        super().__init__(what, todo)
        self.code = code


class IpcFailed(NodeError):
    """The node's mining interface is missing, of an unknown version, or did not answer; the node may be well.

    `gone`: nobody is at the socket any more, as when the node ends.
    """

    def __init__(self, what: str, todo: str = "", *, gone: bool = False) -> None:
        super().__init__(what, todo)
        self.gone = gone


class WrongNetwork(NodeError):
    """The node is on a different chain than configured."""


class UnsafeConsensus(NodeError):
    """The node enforces or requires consensus rules that this program does not implement."""


class PoolError(SolominerError):
    """A pool cannot be mined at: unreachable, silent, refusing, or what it sends cannot be used."""


class TemplateError(SolominerError):
    """A block template that breaks a rule; it is never mined."""


class EngineError(SolominerError):
    """A kernel or a worker cannot do its work."""

    exit_code = 6


class DeviceOff(EngineError):
    """A device that cannot be used until something is changed: its worker is not restarted."""


class PriceError(SolominerError):
    """The source of the electricity price is unreachable or has no price."""


class RecordsError(SolominerError):
    """The dated tree, the journal or the ledger cannot be read or written."""

    exit_code = 7


class JournalFailed(RecordsError):
    """A found block or its state could not be written anywhere; submission continues from memory."""


class VerifyError(RecordsError):
    """Invalid evidence."""


def leaves(group: BaseExceptionGroup[_Error]) -> Iterator[_Error]:
    """The exceptions in a group, and in the groups inside of it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
