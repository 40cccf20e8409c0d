"""`solominer cluster init|add|remove|status`, its folder, and join files that are not what they should be."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from typer.testing import CliRunner

from solominer.cli import app
from solominer.engines.cluster.join_file import ClusterFiles, JoinFile
from solominer.errors import ConfigError, SolominerError
from solominer.setup.cluster.authority import CLIENT_USES, Authority, alternative_names, new_key
from solominer.setup.cluster.folder import ClusterFolder
from solominer.views.cluster import node_lines, nodes_in
from tests.engines.cluster.server import SCRIPT, made

ADDRESS = "bc1qe3s3p25swm5k63gvn0n0pnqu4qme8cup3cptku"


def run(folder: Path, *args: str) -> str:
    """A command with this folder; raises its SolominerError."""
    done = CliRunner().invoke(app, ["cluster", *args, "--dir", str(folder)])
    if isinstance(done.exception, SolominerError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_init_makes_everything_once(tmp_path: Path) -> None:
    said = run(tmp_path / "c", "init", "--mode", "demo", "--node", "rack1", "--node", "rack2", "--server", "head.lan")
    assert "nats://head.lan:4222" in said
    assert "rack2.join" in said
    first = files_in(tmp_path / "c")
    run(tmp_path / "c", "init", "--mode", "demo", "--node", "rack1", "--node", "rack3")
    second = files_in(tmp_path / "c")
    changed = {name for name, content in second.items() if first.get(name) != content}
    assert changed == {"cluster.json", "nats.conf", "nodes/rack3.join"}
    assert second.keys() >= first.keys()
    private = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    join = JoinFile.read(tmp_path / "c/nodes/rack1.join")
    assert (join.node, join.servers, join.network) == ("rack1", ("nats://head.lan:4222",), "mainnet")
    assert ClusterFiles.read(tmp_path / "c").servers == join.servers
    assert join.key_pem not in repr(join)


def test_a_relative_folder_is_written_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(Path("c"), "init", "--mode", "demo")
    assert str(tmp_path / "c/jetstream") in (tmp_path / "c/nats.conf").read_text()
    assert (tmp_path / "c/jetstream").is_dir()


def test_new_servers_and_payees_reach_certificate_and_join_files(tmp_path: Path) -> None:
    folder = made(tmp_path, ["a"])
    before = JoinFile.read(folder.join_path("a"))
    key = (tmp_path / "server.key").read_text()
    script = "0014" + "11" * 20
    three = [word for host in ("s1", "s2", "10.0.0.3") for word in ("--server", host)]
    run(tmp_path, "init", "--mode", "regtest", "--payout-script", script, *three)
    after = JoinFile.read(folder.join_path("a"))
    assert (after.key_pem, after.certificate_pem) == (before.key_pem, before.certificate_pem)
    assert (len(after.servers), after.payout_scripts) == (3, (bytes.fromhex(script),))
    assert alternative_names((tmp_path / "server.pem").read_text()) >= {"s1", "s2", "10.0.0.3", "localhost"}
    assert (tmp_path / "server.key").read_text() == key
    conf = (tmp_path / "nats.conf").read_text()
    assert "routes:" in conf
    assert "server_name: $SOLOMINER_NATS_NAME" in conf


def test_add_renew_and_remove(tmp_path: Path) -> None:
    folder = made(tmp_path, ["a"])
    old_user, old = folder.read().nodes["a"], JoinFile.read(folder.join_path("a"))
    with pytest.raises(ConfigError, match="is a node already"):
        run(tmp_path, "add", "a")
    with pytest.raises(ConfigError, match="there is no node 'b'; known: a"):
        run(tmp_path, "add", "b", "--renew")
    assert "copy" in run(tmp_path, "add", "a", "--renew")
    conf = (tmp_path / "nats.conf").read_text()
    assert old_user not in conf
    assert folder.read().nodes["a"] in conf
    assert JoinFile.read(folder.join_path("a")).key_pem != old.key_pem
    run(tmp_path, "remove", "a")
    assert "NODE_a" not in (tmp_path / "nats.conf").read_text()
    assert not folder.join_path("a").exists()
    with pytest.raises(ConfigError, match="there is no node"):
        run(tmp_path, "remove", "a")


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["add", "Rack 1"], "use 1 to 63"),
        (["add", "../x"], "use 1 to 63"),
        (["init", "--mode", "demo", "--server", "http://x"], "nats://HOST:PORT"),
        (["init", "--mode", "demo", "--server", "a", "--server", "b"], "one server, or three"),
        (["init", "--mode", "demo", "--payout-script", "xyz"], "not hexadecimal"),
        (["init", "--mode", "demo", "--payout-script", "51"], "payout"),
        (["init", "--mode", "production"], "payout_address is not set"),
        (["init", "--mode", "demo"], "is for regtest, not for mainnet"),
    ],
)
def test_what_is_refused(tmp_path: Path, args: list[str], reason: str) -> None:
    made(tmp_path, [])
    before = files_in(tmp_path)
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, *args)
    assert reason in str(caught.value)
    assert files_in(tmp_path) == before


def test_a_folder_that_is_not_one_or_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.json cannot be read") as caught:
        run(tmp_path, "add", "a")
    assert "solominer cluster init" in caught.value.todo
    folder = made(tmp_path, [])
    (tmp_path / "clients-ca.key").unlink()
    with pytest.raises(ConfigError, match=r"clients-ca\.key cannot be read") as caught:
        run(tmp_path, "add", "a")
    assert "backup" in caught.value.todo
    values = json.loads((tmp_path / "cluster.json").read_text())
    for wrong in ({"nodes": {"../x": "u"}}, {"nodes": 3}, {"payout_scripts": ["zz"]}, {"more": 1}):
        (tmp_path / "cluster.json").write_text(json.dumps(values | wrong))
        with pytest.raises(ConfigError):
            folder.read()


def join_with(path: Path, **values: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


def expired(folder: ClusterFolder) -> str:
    authority = Authority((folder.path / "clients-ca.pem").read_text(), (folder.path / "clients-ca.key").read_text())
    return authority.certificate("a", new_key(), ("a.x",), CLIENT_USES, days=-1)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"format": "solominer-join/9"}, "solominer-join/9"),
        ({"format": "other"}, "is not a solominer-join file"),
        ({"node": "A"}, "cannot be called"),
        ({"node": 7}, "node is missing"),
        ({"servers": []}, "servers is missing"),
        ({"network": "moon"}, "unknown network"),
        ({"payout_scripts": ["zz"]}, "not hexadecimal"),
        ({"network": "mainnet", "payout_scripts": []}, "payout_scripts is missing"),
        ({"certificate_pem": "none"}, "cannot be read"),
    ],
)
def test_join_files_that_are_none(tmp_path: Path, values: dict[str, Any], reason: str) -> None:
    path = made(tmp_path, ["a"]).join_path("a")
    with pytest.raises(ConfigError, match=reason) as caught:
        JoinFile.read(join_with(path, **values))
    assert caught.value.todo
    assert "PRIVATE KEY" not in str(caught.value)


def test_join_files_that_expired_are_of_another_key_or_open_to_all(tmp_path: Path) -> None:
    folder = made(tmp_path, ["a", "b"])
    path = folder.join_path("a")
    with pytest.raises(ConfigError, match="the certificate of a expired on") as caught:
        JoinFile.read(join_with(path, certificate_pem=expired(folder)))
    assert "solominer cluster add a --renew" in caught.value.todo
    other = JoinFile.read(folder.join_path("b"))
    mixed = JoinFile.read(join_with(path, certificate_pem=other.certificate_pem))
    with pytest.raises(ConfigError, match="cannot be used"):
        mixed.tls_context()
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="every user can read it"):
        JoinFile.read(path)
    path.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        JoinFile.read(path)


def test_a_private_node_leaves_the_payout_unchecked(tmp_path: Path) -> None:
    assert "do not check whom blocks pay" in run(tmp_path, "init", "--mode", "regtest", "--node", "a")
    assert JoinFile.read(tmp_path / "nodes/a.join").payout_scripts == ()


def test_certificates_are_for_one_purpose(tmp_path: Path) -> None:
    made(tmp_path, [])
    server, head = (
        x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes()) for name in ("server", "head")
    )
    assert server.issuer != head.issuer  # a node's certificate is none of a server
    assert head.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value._usages == list(CLIENT_USES)
    for each in (server, head):
        assert each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert SCRIPT.hex() in (tmp_path / "cluster.json").read_text()


def test_nodes_as_status_shows_them() -> None:
    def worker(name: str, *, alive: bool = True, rate: float = 1e6) -> dict[str, Any]:
        return {"worker": name, "alive": alive, "rate_hps": rate if alive else 0.0, "shares": 2}

    workers = [
        worker("cluster/b.cpu0"),
        worker("cluster/b.cpu1"),
        worker("cpu/0"),
        worker("cluster/a.gpu0", alive=False),
    ]
    nodes = nodes_in([*workers, worker("cluster/c.cpu0", rate=0.0)])
    assert [(each["node"], each["state"], each["workers"], each["shares"]) for each in nodes] == [
        ("a", "lost", 1, 2),
        ("b", "hashing", 2, 4),
        ("c", "idle", 1, 2),
    ]
    assert node_lines(nodes)[-1] == "3 nodes, 1 of them lost: 2.00 MH/s"
    assert node_lines([]) == ["no node has joined yet"]
    left = worker("cluster/a.gpu0", alive=False) | {"state": "left", "gone_at": 1_800_000_000.0}
    lines = node_lines(nodes_in([workers[0], left]))
    assert lines[0] == "a  left     0 of 1 worker  since 08:00:00 UTC  2 shares"
    assert lines[-1] == "1 node: 1.00 MH/s"


def test_miners_of_a_node_are_shown_beside_its_workers() -> None:
    def worker(name: str, *, rate: float, alive: bool = True) -> dict[str, Any]:
        return {"worker": f"cluster/{name}", "alive": alive, "rate_hps": rate, "shares": 2}

    nodes = nodes_in(
        [
            worker("a.stratum", rate=0.0),
            worker("a.stratum/rack1.s19", rate=1e14),
            worker("a.stratum/rack2.s19", rate=0.0, alive=False),
        ]
    )
    assert node_lines(nodes)[0] == "a  hashing  1 of 1 worker, 1 miner  100.00 TH/s  6 shares"
