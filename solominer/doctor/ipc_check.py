"""The check of a node's mining interface (IPC): socket, its permissions, package, version, and whose it is."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from solominer.chain.hashes import to_rpc_hex
from solominer.doctor.check import CheckOutcome, ok, warning
from solominer.errors import IpcFailed
from solominer.node.ipc.trial import try_interface

_RPC_INSTEAD = "templates come by RPC, which takes longer"


def check_ipc(path: Path, hash_at: Callable[[int], bytes]) -> CheckOutcome:
    """Try the interface at `path`; `hash_at` asks the node by RPC. Raises NodeError of RPC."""
    if not path.is_socket():
        return warning(
            f"{path} is not there: {_RPC_INSTEAD}",
            "start bitcoin-node (release 31 or later) with -ipcbind=unix; bitcoind does not have the interface",
        )
    if who := others_who_may_open(path):
        return warning(
            f"{who} may open {path}, and whoever opens it controls the node without a password",
            f"chmod 600 {path}, or chmod 700 {path.parent}",
        )
    try:
        version, tip_le, height = try_interface(path)
    except IpcFailed as error:
        return warning(f"{error.what}: {_RPC_INSTEAD}", error.todo or "see the node's debug.log")
    if hash_at(height) != tip_le:
        return warning(
            f"{path} is another node's: RPC does not have its tip {to_rpc_hex(tip_le)}",
            "set ipc_socket to the socket of the node that bitcoin_rpc names",
        )
    return ok(f"interface of release {version} at {path}")


def others_who_may_open(path: Path) -> str:
    """Who besides its owner may open a socket: `other users`, `its group`, or nobody."""
    socket_mode, folders = path.stat().st_mode, [parent.stat().st_mode for parent in path.absolute().parents]
    for who, write, enter in (
        ("other users", stat.S_IWOTH, stat.S_IXOTH),
        ("the group", stat.S_IWGRP, stat.S_IXGRP | stat.S_IXOTH),
    ):
        if socket_mode & write and all(mode & enter for mode in folders):
            return who
    return ""
