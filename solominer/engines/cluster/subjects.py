"""The names that head and nodes use on the server: subjects, streams, the consumer, and what a node may be called.

| subject | from | to | kept |
| --- | --- | --- | --- |
| `solo.job` | head | all nodes | the newest, in stream JOB |
| `solo.join` | node | head, which answers with a lease; there it is `solo.join.NODE` | no |
| `solo.share.NODE` | node | head | until judged, in stream SHARES |
| `solo.beat.NODE` | node | head | no |
| `solo.notice.NODE` | head | that node | no |
| `solo.judge` | the server: stream SHARES | head | no |
| `solo.vault` | head | whoever becomes the next head | the jobs of the current tip, in stream VAULT (`vault`) |
| `$KV.HEAD.head` | head | daemons that stand by | until it expires (`lease`) |

A node also asks for the newest job, on `NEWEST_JOB`.

Each node has an account of its own on the server (`nats_conf`), which renames its `solo.join` to `solo.join.NODE`: the
head knows by the subject who asks, as with shares and beats, and no node can speak for another.
"""

from __future__ import annotations

import re

from solominer.errors import ConfigError

JOB = "solo.job"
JOIN = "solo.join"
_SHARE, _BEAT, _NOTICE = "solo.share.", "solo.beat.", "solo.notice."
ALL_JOINS = JOIN + ".*"
ALL_SHARES, ALL_BEATS, ALL_NOTICES = _SHARE + "*", _BEAT + "*", _NOTICE + "*"

JOB_STREAM = "JOB"
SHARE_STREAM = "SHARES"
JUDGE = "judge"
TO_JUDGE = "solo.judge"
"""The durable consumer of SHARE_STREAM, and where the server sends what it has for it."""

VAULT_STREAM, VAULT = "VAULT", "solo.vault"
LEASE_BUCKET, LEASE_KEY = "HEAD", "head"

NEWEST_JOB = f"$JS.API.DIRECT.GET.{JOB_STREAM}.{JOB}"
"""A request for the newest message of JOB_STREAM."""

SERVER_FACTS = "$SYS.REQ.SERVER.PING.JSZ"
"""A request of the head that every server answers with its version and its JetStream settings."""

ACK_WAIT_SECS = 2.0
"""After this the server sends a share again that the head has not acknowledged."""

BEAT_SECS, SLOW_BEAT_SECS = 1.0, 10.0
SLOW_BEATS_FROM = 1000
"""With so many nodes or more, each sends a beat every SLOW_BEAT_SECS."""

_NODE = re.compile(r"[a-z0-9-]{1,63}")


def join_subject(node: str) -> str:
    """Where the head hears a node that asks to join."""
    return f"{JOIN}.{node}"


def share_subject(node: str) -> str:
    """Where a node sends its shares."""
    return _SHARE + node


def beat_subject(node: str) -> str:
    """Where a node sends its beats."""
    return _BEAT + node


def notice_subject(node: str) -> str:
    """Where a node hears what concerns it alone."""
    return _NOTICE + node


def node_of(subject: str) -> str:
    """The node of a join's, a share's or a beat's subject: the server lets no node use another's."""
    return subject.rpartition(".")[2]


def check_node(name: str) -> str:
    """`name`, if a node may be called that. Raises ConfigError."""
    if not _NODE.fullmatch(name):
        raise ConfigError(f"a node cannot be called {name!r}", "use 1 to 63 of a-z, 0-9 and -")
    return name
