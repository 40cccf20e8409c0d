"""What doctor says of pools: files that cannot be read, for the fallback as for mode `pool`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from solominer.config.load import load_config
from solominer.doctor.pool_checks import examine_pools


def told(**settings: Any) -> list[tuple[str, str, str]]:
    config = load_config(overrides={"mode": "regtest", **settings}, environ={})
    return [(finding.subject, finding.status.value, finding.evidence) for finding in examine_pools(config)]


def test_files_of_pools_are_examined(tmp_path: Path) -> None:
    assert told() == []
    secret, torn = tmp_path / "password", tmp_path / "ca.pem"
    secret.write_text("hush\n")
    torn.write_text("no certificate")
    pool = {"url": "stratum+ssl://h:1", "user": "u"}
    ((subject, status, evidence),) = told(fallback_pool=pool | {"password_file": str(secret)})
    assert (subject, status) == ("stratum+ssl://h:1", "ok")
    assert "hush" not in evidence
    ((_, status, evidence),) = told(fallback_pool=pool | {"password_file": str(tmp_path / "none")})
    assert status == "failed"
    assert "no password file at" in evidence
    ((_, status, evidence),) = told(mode="pool", pools=[pool | {"tls_ca": str(torn)}])
    assert status == "failed"
    assert "tls_ca" in evidence
