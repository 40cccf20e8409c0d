"""Both verifiers against every way in which evidence can be wrong: they fail, and they name the file.

The tree is small and real: three sealed parts over two days, one of them signed, with shares, a block, answers, errors
and a log. `solominer.records.evidence.verify` and `scripts/verify.py` share no code and must agree.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from solominer.errors import RecordsError
from solominer.records.evidence.verify import verify
from solominer.records.settings import RecorderSettings
from tests.records.builders import HOUR, Bench, mine
from tests.records.standalone import SCRIPT, standalone

POSITIONS = 100
PART = "2026/11/21/23"
NIGHT = HOUR + 16 * 3600


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's folder of a finished tree: 2026/11/21/22, 2026/11/21/23 and 2026/11/22/00."""
    folder = tmp_path_factory.mktemp("sealed")
    bench = Bench(folder / "data", RecorderSettings(signing_key=folder / "key.pem"))
    recorder = bench.recorder()
    recorder.open(NIGHT - 3000)
    for hour in range(2):
        mine(bench, recorder, NIGHT + 3600 * hour - 2900, shares=4)
        bench.up += 3600
        recorder.tick(NIGHT + 3600 * hour)
        recorder.flush(30)
    recorder.close(NIGHT + 3700)
    return bench.root


@pytest.fixture
def tree(sealed: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(sealed, tmp_path / "regtest", symlinks=True))


def files_of(root: Path, part: str = PART) -> list[str]:
    """Every file of a part."""
    paths = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(path for path in paths if f"/{part}/" in path)


def both_name(target: Path, path: str) -> None:
    """Both verifiers fail and name `path`."""
    result, alone = verify(target), standalone(target)
    assert path in {wrong for wrong, _ in result.wrong}, list(result.lines())
    assert alone.code == 1
    assert f"WRONG      {path}:" in alone.output, alone.output


def both_hold(target: Path) -> None:
    result, alone = verify(target), standalone(target, "--shares")
    assert result.holds, list(result.lines())
    assert alone.holds, alone.output


@pytest.mark.parametrize("below", ["", "reports", "reports/2026/11/21", "ledger/2026/11", "proofs/2026/11/21/23", ".."])
def test_the_tree_and_every_stretch_of_it_holds(sealed: Path, below: str) -> None:
    both_hold(sealed / below)


def test_single_files_hold(sealed: Path) -> None:
    for name in ("best-hashes.json", "best-share.json"):
        both_hold(sealed / "proofs" / PART / name)
    (proof,) = (sealed / "proofs" / PART).glob("200-*.json")
    both_hold(proof)
    assert verify(sealed / "reports" / PART / "report.txt").holds


def test_the_hour_has_one_of_every_kind(sealed: Path) -> None:
    names = {path.rpartition("/")[2] for path in files_of(sealed)}
    assert {"report.json", "report.json.sha256", "report.sig", "report.txt", "SHA256SUMS", "errors.json"} <= names
    assert {"ledger.jsonl", "solominer.log", "block.hex", "facts.json", "submissions.jsonl"} <= names
    assert {"best-hashes.json", "best-share.json"} <= names


def test_any_changed_byte_fails_and_names_the_file(tree: Path) -> None:
    """Every file of the hour, at 100 random positions each (all of them where there are fewer)."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    hour = tree / "reports" / PART
    for path in files_of(tree):
        file = tree / path
        data = file.read_bytes()
        for position in chance.sample(range(len(data)), min(POSITIONS, len(data))):
            spoiled = bytearray(data)
            spoiled[position] ^= chance.randrange(1, 256)
            file.write_bytes(spoiled)
            result = verify(hour, thorough=False)
            named = {wrong for wrong, _ in result.wrong}
            assert path in named, f"seed {seed}: {path} at {position}, named {named}"
            alone = standalone(hour)
            assert f"WRONG      {path}:" in alone.output, f"seed {seed}: {path} at {position}: {alone.output}"
        file.write_bytes(data)
    both_hold(hour)


def test_a_missing_or_cut_or_grown_file_is_named(tree: Path) -> None:
    for path in files_of(tree):
        data = (tree / path).read_bytes()
        for spoiled in (None, data[:-1], data + b"\n"):
            (tree / path).unlink()
            if spoiled is not None:
                (tree / path).write_bytes(spoiled)
            both_name(tree, path)
            (tree / path).write_bytes(data)
    both_hold(tree)


@pytest.mark.parametrize(
    "path", ["ledger/2026/11/21/23/more.jsonl", "proofs/2026/11/21/23/x/y.json", "reports/2026/11/21/23/report2.json"]
)
def test_a_foreign_file_in_a_sealed_hour_is_named(tree: Path, path: str) -> None:
    (tree / path).parent.mkdir(exist_ok=True)
    (tree / path).write_text("{}")
    both_name(tree, path)


@pytest.mark.parametrize("path", ["reports/notes.txt", "ledger/2026/11/21/xx/file", "logs/2026/loose"])
def test_a_file_of_no_hour_is_named(tree: Path, path: str) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text("")
    both_name(tree, path)


def test_a_missing_hour_breaks_the_chain(tree: Path) -> None:
    for section in tree.iterdir():
        if section.is_dir():
            shutil.rmtree(section / PART, ignore_errors=True)
    both_name(tree, "reports/2026/11/22/00/report.json")
    both_name(tree / "reports/2026/11/22/00", f"reports/{PART}/report.json")


def test_a_rewritten_hour_breaks_the_link_of_the_next(tree: Path) -> None:
    """Somebody changes a report and makes every hash of that hour right again."""
    folder = tree / "reports" / PART
    report = json.loads((folder / "report.json").read_text())
    report["blocks"]["found"] = 7
    data = json.dumps(report).encode()
    (folder / "report.json").write_bytes(data)
    seal = (folder / "report.json.sha256").read_text().splitlines()
    (folder / "report.json.sha256").write_text(f"{sha256(data).hexdigest()}  report.json\n{seal[1]}\n")
    both_name(tree, f"reports/{PART}/report.json")
    result = verify(folder)
    assert (f"reports/{PART}/report.sig", "invalid") in result.wrong


def test_a_cut_off_newest_hour_shows_by_the_link_to_it(tree: Path) -> None:
    shutil.rmtree(tree / "reports" / "2026/11/22")
    both_name(tree, "reports/latest")


def test_an_hour_of_the_future_or_of_elsewhere_is_named(tree: Path) -> None:
    shutil.copytree(tree / "reports" / PART, tree / "reports" / "2031/01/01/00")
    both_name(tree, "reports/2031/01/01/00/report.json")


def test_a_changed_day_is_named(tree: Path) -> None:
    path = "reports/2026/11/21/day.json"
    data = (tree / path).read_bytes()
    (tree / path).write_bytes(data.replace(b'"shares": 8', b'"shares": 9'))
    assert (tree / path).read_bytes() != data
    both_name(tree, path)


def test_a_hash_that_was_never_found_is_named(tree: Path) -> None:
    """Evidence that was never worked for, with every checksum right: only hashing it again shows it."""
    path = f"proofs/{PART}/best-hashes.json"
    document = json.loads((tree / path).read_text())
    document["hashes"][0]["nonce"] += 1
    (tree / path).write_text(json.dumps(document))
    for file in (tree / path, tree):
        assert any("actually hashes to" in reason for _, reason in verify(file).wrong) or file == tree
    assert standalone(tree / path).code == 1
    ledger = tree / "ledger" / PART / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"nonce":', '"nonce":1', 1))
    alone = standalone(tree / "ledger" / PART, "--shares")
    assert f"WRONG      ledger/{PART}/ledger.jsonl" in alone.output


def test_the_wrong_key_is_not_accepted(sealed: Path) -> None:
    signer = json.loads((sealed / "reports" / PART / "report.json").read_text())["signer"]
    assert verify(sealed, public_key_hex=signer).holds
    result = verify(sealed, public_key_hex="00" * 32)
    assert [reason for _, reason in result.wrong] == ["not signed by the requested key"] * 3


def test_openssl_agrees_on_the_signature(sealed: Path, tmp_path: Path) -> None:
    """The command that docs/evidence.md gives."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    signer = json.loads((sealed / "reports" / PART / "report.json").read_text())["signer"]
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100" + signer))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin"]
    files = [
        "-in",
        str(sealed / "reports" / PART / "report.json"),
        "-sigfile",
        str(sealed / "reports" / PART / "report.sig"),
    ]
    done = subprocess.run([*command, *files], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert "Signature Verified Successfully" in done.stdout


def test_sha256sum_agrees_on_the_files(sealed: Path) -> None:
    """The command that docs/evidence.md gives."""
    for folder, file in ((sealed, f"reports/{PART}/SHA256SUMS"), (sealed / "reports" / PART, "report.json.sha256")):
        done = subprocess.run(
            ["sha256sum", "--quiet", "-c", file], cwd=folder, capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout


def test_the_script_runs_on_its_own(sealed: Path, tmp_path: Path) -> None:
    """With nothing on the path but Python, from a folder that knows nothing of solominer."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(sealed)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stdout.endswith("VERIFIED: every check passed\n")
    assert subprocess.run([*command[:-1], str(tmp_path)], capture_output=True, check=False, timeout=60).returncode == 2


def test_nothing_to_verify_is_an_error(tmp_path: Path, sealed: Path) -> None:
    with pytest.raises(RecordsError, match="no evidence"):
        verify(tmp_path)
    with pytest.raises(RecordsError, match="no hours"):
        verify(sealed / "reports" / "2027")


def test_an_open_hour_is_said_to_be_open(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data")
    recorder = bench.recorder()
    recorder.open(HOUR)
    mine(bench, recorder, HOUR + 1)
    recorder.flush(30)
    result = verify(bench.root)
    assert result.holds
    assert any("still open" in what for what in result.unchecked)
    assert "still open" in standalone(bench.root).output
    recorder.close(HOUR + 2)
