"""What starts the nodes of a cluster: Kustomize, a Slurm script, a systemd unit, a container.

None of them can be run here as they would be. Their fields' tools judge them, what they say to the program is held
against the program, and the Slurm script runs with a stand-in for srun.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from solominer.config.load import load_config
from solominer.engines.cluster.join_file import ClusterFiles
from solominer.errors import ConfigError
from solominer.setup.cluster.folder import Cluster, ClusterFolder
from tests.deploy.manager import REPO
from tests.deploy.test_containers import check_command, documents, tool
from tests.deploy.test_systemd import MOST_EXPOSURE, analyze, needs_systemd_analyze

KUBERNETES = REPO / "deploy/kubernetes"
KUSTOMIZATIONS = sorted(KUBERNETES.glob("*/kustomization.yaml"))
SLURM = REPO / "deploy/slurm/solominer-nodes.sbatch"
UNIT = REPO / "deploy/systemd/solominer-node.service"
URLS = tuple(f"nats://nats-{number}.nats:4222" for number in range(3))

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which builds them, is not here")


def built(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def pod(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return dict(found["spec"]["template"]["spec"])


@needs_kubectl
@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_what_kustomize_builds_is_valid(path: Path, tmp_path: Path) -> None:
    (tmp_path / "built.yaml").write_text(yaml.dump_all(built(path.parent)))
    done = tool("kubernetes-validate", "--strict", tmp_path / "built.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_kustomizations_name_what_is_there() -> None:
    assert [path.parent.name for path in KUSTOMIZATIONS] == ["cluster", "cluster-gpu", "miner"]
    for path in KUSTOMIZATIONS:
        values = yaml.safe_load(path.read_text())
        named = [*values["resources"], *(patch["path"] for patch in values.get("patches", []) if "path" in patch)]
        assert all((path.parent / each).exists() for each in named)


@needs_kubectl
def test_the_head_gets_a_configuration_that_loads_and_its_files(tmp_path: Path) -> None:
    documents = built(KUBERNETES / "cluster")
    (miner,) = pod(documents, "StatefulSet", "solominer")["containers"]
    config = load_config(environ={each["name"]: each["value"] for each in miner["env"]})
    assert config.cluster.servers == URLS
    replicas = {
        each["metadata"]["name"]: each["spec"]["replicas"] for each in documents if each["kind"] == "StatefulSet"
    }
    assert replicas == {"nats": 3, "solominer": 2 if config.cluster.standby else 1}
    assert miner["readinessProbe"]["exec"] == miner["livenessProbe"]["exec"], "one that stands by has no work"
    assert (config.cpu_workers, str(config.cluster_dir)) == (0, "/etc/solominer-cluster")
    assert "/etc/solominer-cluster" in {mount["mountPath"] for mount in miner["volumeMounts"]}
    folder = made_as_told(tmp_path)
    (tmp_path / "head").mkdir()
    for name in files_of_secret("head"):
        shutil.copy(folder.path / name, tmp_path / "head" / name)
    assert ClusterFiles.read(tmp_path / "head").servers == URLS


def test_the_servers_find_their_files(tmp_path: Path) -> None:
    folder = made_as_told(tmp_path)
    (container,) = pod(documents(KUBERNETES / "cluster/nats.yaml"), "StatefulSet", "nats")["containers"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    named = re.findall(r'"(/[^"]+)"', (folder.path / "nats.conf").read_text())
    given = files_of_secret("nats")
    assert named
    for path in map(Path, named):
        top = "/data" if path.is_relative_to("/data") else "/etc/nats"
        assert top in mounts
        assert top == "/data" or path.name in given
    assert container["command"] == ["nats-server", "-c", "/etc/nats/nats.conf"]
    assert "nats.conf" in given
    assert [each["name"] for each in container["env"]] == ["SOLOMINER_NATS_NAME"]


def made_as_told(tmp_path: Path) -> ClusterFolder:
    """The folder that the first lines of the kustomization have a person make, with two nodes."""
    told = (KUBERNETES / "cluster/kustomization.yaml").read_text()
    assert re.findall(r"--server (\S+)", told) == list(URLS)
    files, store = re.findall(r"--server-(?:files|store) (\S+)", told)
    folder = ClusterFolder(tmp_path / "cluster")
    folder.init(Cluster("regtest", URLS, (), files, store))
    folder.add("rack1", "rack2")
    return folder


def files_of_secret(name: str) -> list[str]:
    """The files of a secret, by the first lines of the kustomization."""
    told = (KUBERNETES / "cluster/kustomization.yaml").read_text().replace("\\\n#", "")
    (line,) = re.findall(rf"secret generic {name} (.*)", told)
    return [Path(each).name for each in re.findall(r"--from-file=(\S+)", line)]


def test_no_secret_of_kubernetes_holds_a_key_that_it_does_not_need() -> None:
    for name in ("nats", "head"):
        assert not {"ca.key", "clients-ca.key"} & set(files_of_secret(name))
    assert "server.key" not in files_of_secret("head")
    assert "head.key" not in files_of_secret("nats")


@pytest.mark.parametrize("overlay", ["cluster", "cluster-gpu"])
@needs_kubectl
def test_a_node_gets_its_own_join_file_alone(overlay: str) -> None:
    spec = pod(built(KUBERNETES / overlay), "DaemonSet", "solominer-node")
    (container,) = spec["containers"]
    words = [word for each in container["args"] for word in each.split("=", 1)]
    check_command([word for word in words if not word.startswith("/")])
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    join = mounts[words[words.index("--join") + 1]]
    assert (join["subPathExpr"], join["readOnly"]) == ("$(MACHINE).join", True)
    assert words[words.index("--data-dir") + 1] in mounts
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (overlay == "cluster-gpu")


def test_the_container_of_a_node() -> None:
    (document,) = documents(REPO / "deploy/compose/node.yaml")
    miner = document["services"]["miner"]
    assert miner["healthcheck"] == {"disable": True}
    targets = [volume.split(":")[1] for volume in miner["volumes"]]
    assert {miner["command"][2], miner["command"][4]} <= set(targets)
    assert "cluster" in re.findall(r"^ARG EXTRAS=(.*)$", (REPO / "Dockerfile").read_text(), re.MULTILINE)[0]


# Slurm

SRUN = """#!/bin/bash
# srun: the command on each machine, one after the other
while [ "${1#--}" != "$1" ]; do shift; done
for SLURMD_NODENAME in rack1 rack2 rack3; do export SLURMD_NODENAME; "$@"; done
"""


def slurm(tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "bin").mkdir(exist_ok=True)
    for name, text in (("srun", SRUN), ("solominer", '#!/bin/sh\necho "$@"\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    base = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "SOLOMINER": "solominer"}
    return subprocess.run([str(SLURM)], env=base | environ, capture_output=True, text=True, check=False)


def test_slurm_starts_a_node_on_each_machine_with_a_join_file(tmp_path: Path) -> None:
    joins = tmp_path / "solominer-joins"
    joins.mkdir()
    for name in ("rack1", "rack3"):
        (joins / f"{name}.join").write_text("{}")
    done = slurm(tmp_path, SHARES="/var/tmp/shares", SOLOMINER_GPU="all")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[2] for line in lines] == [f"{joins}/rack1.join", f"{joins}/rack3.join"]
    assert lines[0][3:] == ["--data-dir", "/var/tmp/shares", "--gpu", "all"]
    check_command([lines[0][0], *(word for word in lines[0] if word.startswith("--"))])
    assert "solominer cluster add rack2" in done.stderr


def test_slurm_without_join_files(tmp_path: Path) -> None:
    done = slurm(tmp_path)
    assert (done.returncode, "set JOINS" in done.stderr) == (2, True)


def test_shellcheck_is_content_with_the_slurm_script() -> None:
    done = tool("shellcheck", SLURM)
    assert done.returncode == 0, done.stdout
    assert os.access(SLURM, os.X_OK)


def test_slurms_options_are_ones() -> None:
    """Those of sbatch(1) that the script uses."""
    known = {"job-name", "ntasks-per-node", "exclusive", "time", "requeue", "open-mode", "output", "nice", "signal"}
    options = re.findall(r"^#SBATCH --([\w-]+)", SLURM.read_text(), re.MULTILINE)
    assert options
    assert set(options) <= known


# systemd


def unit(key: str) -> str:
    (value,) = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(value)


@needs_systemd_analyze
def test_systemd_has_nothing_to_say(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/solominer/bin/solominer", "/bin/true"))
    done = analyze("verify", "--man=no", str(copy))
    own = [line for line in (done.stdout + done.stderr).splitlines() if "solominer" in line]
    assert (own, done.returncode) == ([], 0)
    told = analyze("security", "--offline=true", "--no-pager", str(UNIT)).stdout
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert match
    assert float(match[1]) <= MOST_EXPOSURE + 0.2  # it has to reach servers elsewhere


def test_the_unit_calls_what_exists() -> None:
    program, *words = unit("ExecStart").split()
    assert program == "/opt/solominer/bin/solominer"
    check_command(words)
    assert words[words.index("--join") + 1] == f"${{CREDENTIALS_DIRECTORY}}/{unit('LoadCredential').partition(':')[0]}"
    assert unit("RestartPreventExitStatus") == str(ConfigError.exit_code)
    assert words[words.index("--data-dir") + 1] == f"%S/{unit('StateDirectory')}"


def test_it_is_confined_as_the_daemon_is() -> None:
    """Where the daemon's restrictions are explained and tried, none is left out here."""
    own, daemon = UNIT.read_text(), (UNIT.parent / "solominer.service").read_text()
    pattern = r"^(?:Private|Protect|Restrict[A-Z]|Lock|NoNew|SystemCall|Cap|Memory|Device|Remove|UMask|Ambient)\S*=.*$"
    assert set(re.findall(pattern, own, re.MULTILINE)) == set(re.findall(pattern, daemon, re.MULTILINE))


def test_variables_are_json_where_they_must_be() -> None:
    (document,) = documents(KUBERNETES / "cluster/head.yaml")
    (container,) = document["spec"]["template"]["spec"]["containers"]
    assert json.loads(container["env"][0]["value"]) == list(URLS)
