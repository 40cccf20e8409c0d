"""The server's configuration: mutual TLS, an account for the head and one for each node, JetStream that syncs.

A node's account imports what that node needs and nothing else. Permissions alone would not do: JetStream sends its
acknowledgement of a share to whatever subject the share names, so that a node that may publish its shares could have
the newest job replaced. In an account of its own it reaches nobody but itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from solominer.engines.cluster import subjects
from solominer.engines.cluster.join_file import inbox_prefix

ROUTE_PORT = 6222
NAME_VARIABLE = "SOLOMINER_NATS_NAME"
SYNC = "sync_interval: always"
MOST_MESSAGE_BYTES = 256 << 10

_NOTE = """\
# Written by `solominer cluster`; it is written again when nodes are added or removed, so do not change it here.
"""


def nats_conf(
    hosts: Sequence[str], port: int, files: PurePath, store: PurePath, head: str, nodes: Mapping[str, str]
) -> str:
    """The text of nats.conf for all servers.

    `hosts` are theirs; with more than one they form a cluster, and each takes its name from $SOLOMINER_NATS_NAME.
    `files` and `store` are folders on the servers; `head` and the values of `nodes` are users in certificates.
    """
    name = f"${NAME_VARIABLE}" if len(hosts) > 1 else "solominer"
    parts = [
        _NOTE,
        f"server_name: {name}",
        f'listen: "0.0.0.0:{port}"',
        f"pid_file: {_text(store / 'nats-server.pid')}",
        "logfile_size_limit: 16MB",
        "logfile_max_num: 4",
        f"max_payload: {MOST_MESSAGE_BYTES}",
        'write_deadline: "2s"  # a node that does not read is disconnected',
        f"jetstream {{ store_dir: {_text(store)}, {SYNC}, max_memory_store: 64MB, max_file_store: 4GB }}",
        _tls(files, "clients-ca.pem", "verify_and_map"),
        *([_routes(hosts, files)] if len(hosts) > 1 else []),
        "system_account: SYS",
        "accounts {",
        f"  SYS {{ exports: [{{service: {_text(subjects.SERVER_FACTS)}, response_type: stream}}] }}",
        _head_account(head),
        *(_node_account(node, user) for node, user in sorted(nodes.items())),
        "}",
    ]
    return "\n".join(parts) + "\n"


def _tls(files: PurePath, authority: str, verify: str) -> str:
    certificate, key, trusted = (_text(files / name) for name in ("server.pem", "server.key", authority))
    return (
        f'tls {{ cert_file: {certificate}, key_file: {key}, ca_file: {trusted}, {verify}: true, min_version: "1.3", '
        "timeout: 5 }"
    )


def _routes(hosts: Sequence[str], files: PurePath) -> str:
    routes = ", ".join(_text(f"nats://{f'[{host}]' if ':' in host else host}:{ROUTE_PORT}") for host in hosts)
    return (
        f'cluster {{ name: solominer, listen: "0.0.0.0:{ROUTE_PORT}", routes: [{routes}]\n'
        f"  {_tls(files, 'ca.pem', 'verify')} }}"
    )


def _head_account(user: str) -> str:
    streams = (subjects.JOB, subjects.ALL_NOTICES)
    services = (subjects.ALL_JOINS, subjects.ALL_SHARES, subjects.ALL_BEATS, subjects.NEWEST_JOB)
    exports = [f"{{stream: {_text(each)}}}" for each in streams] + [f"{{service: {_text(each)}}}" for each in services]
    return (
        f"  HEAD {{ jetstream: enabled, users: [{{user: {_text(user)}}}]\n    exports: [{', '.join(exports)}]\n"
        f"    imports: [{{service: {{account: SYS, subject: {_text(subjects.SERVER_FACTS)}}}}}] }}"
    )


def _node_account(node: str, user: str) -> str:
    hears = (subjects.JOB, subjects.notice_subject(node))
    asks = (subjects.share_subject(node), subjects.beat_subject(node), subjects.NEWEST_JOB)
    publish = ", ".join(map(_text, (*asks, subjects.JOIN)))
    subscribe = ", ".join(map(_text, (*hears, f"{inbox_prefix(node)}.>")))
    imports = [
        *(f"{{stream: {{account: HEAD, subject: {_text(each)}}}}}" for each in hears),
        *(f"{{service: {{account: HEAD, subject: {_text(each)}}}}}" for each in asks),
        f"{{service: {{account: HEAD, subject: {_text(subjects.join_subject(node))}}}, to: {_text(subjects.JOIN)}}}",
    ]
    return (
        f"  NODE_{node} {{ users: [{{user: {_text(user)}, permissions: {{publish: {{allow: [{publish}]}}, "
        f"subscribe: {{allow: [{subscribe}]}}}}}}]\n    imports: [{', '.join(imports)}] }}"
    )


def _text(value: object) -> str:
    return json.dumps(str(value))
