"""Finding and fetching a bitcoind: the order of places, the checks on what is fetched, and what the errors say.

The bitcoind here is a shell script that knows `--version`; releases come from a small server on loopback. PATH is a
folder of the test, so neither a real bitcoind nor the tools of Debian are found unless a test puts them there.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from solominer.errors import BitcoindNotFound
from solominer.node.private import bitcoind_debian, bitcoind_release
from solominer.node.private.bitcoind import BitcoindBinary, find_bitcoind

TARBALL = "bitcoin-99.0-x86_64-linux-gnu.tar.gz"


def script(version: str) -> bytes:
    return f'#!/bin/sh\necho "Bitcoin Core daemon version v{version}"\n'.encode()


def put_script(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def tarball(content: bytes, name: str = "bitcoin-99.0/bin/bitcoind") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class ReleaseSite:
    """Files served under `base`; `announced` overrides the length that a reply claims to have."""

    files: dict[str, bytes] = field(default_factory=dict)
    announced: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    base: str = ""

    def publish(self, content: bytes) -> None:
        self.files = {TARBALL: content, "SHA256SUMS": f"{hashlib.sha256(content).hexdigest()}  {TARBALL}\n".encode()}


@pytest.fixture
def site() -> Iterator[ReleaseSite]:
    served = ReleaseSite()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/release/")
            served.asked.append(name)
            if name not in served.files:
                self.send_error(404)
                return
            body = served.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(served.announced.get(name, len(body))))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.base = f"http://127.0.0.1:{server.server_port}/release"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Machine:
    """A machine whose PATH is `bin` and whose cache is `cache`; `said` collects the progress lines."""

    bin: Path
    cache: Path
    said: list[str] = field(default_factory=list)

    def find(
        self, explicit: Path | None = None, *, base: str = "http://127.0.0.1:9", fetch: bool = True
    ) -> BitcoindBinary:
        return find_bitcoind(explicit, self.cache, fetch=fetch, release_base=base, report=self.said.append)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("BITCOIND", raising=False)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return Machine(tmp_path / "bin", tmp_path / "cache")


# The order of places


def test_places_are_tried_in_order(
    machine: Machine, site: ReleaseSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.publish(tarball(script("4.0")))
    assert machine.find(base=site.base) == BitcoindBinary(
        (str(machine.cache / "release/bitcoin-99.0/bin/bitcoind"),), "4.0", "release tarball"
    )
    asked = len(site.asked)
    assert machine.find(base=site.base).origin == "release tarball, cached"
    assert len(site.asked) == asked
    put_script(machine.bin / "bitcoind", script("3.0"))
    assert machine.find().version == "3.0"
    monkeypatch.setenv("BITCOIND", str(put_script(tmp_path / "named", script("2.0"))))
    assert machine.find().version == "2.0"
    assert machine.find(put_script(tmp_path / "given", script("1.0"))).version == "1.0"


@pytest.mark.parametrize("content", [b"#!/bin/sh\nexit 1\n", b"#!/bin/sh\necho other program 1.0\n", b"\x7fELF junk"])
def test_a_given_path_that_does_not_work_is_an_error(machine: Machine, tmp_path: Path, content: bytes) -> None:
    put_script(machine.bin / "bitcoind", script("3.0"))
    given = put_script(tmp_path / "given", content)
    with pytest.raises(BitcoindNotFound, match=str(given)):
        machine.find(given)


def test_a_path_in_the_environment_that_is_missing_is_an_error(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITCOIND", "/nowhere/bitcoind")
    with pytest.raises(BitcoindNotFound, match=r"/nowhere/bitcoind \(\$BITCOIND\) cannot be run"):
        machine.find()


def test_a_broken_one_on_path_is_passed_over_and_said(machine: Machine, site: ReleaseSite) -> None:
    put_script(machine.bin / "bitcoind", b"#!/bin/sh\nexit 1\n")
    site.publish(tarball(script("4.0")))
    assert machine.find(base=site.base).version == "4.0"
    assert any("ignored: " in line for line in machine.said)


def test_fetching_can_be_forbidden(machine: Machine, site: ReleaseSite) -> None:
    site.publish(tarball(script("4.0")))
    with pytest.raises(BitcoindNotFound, match="downloads are disabled"):
        machine.find(base=site.base, fetch=False)
    assert site.asked == []
    assert not machine.cache.exists()


# What is fetched is checked


def fetched(machine: Machine) -> list[str]:
    return sorted(path.name for path in machine.cache.iterdir() if path.name != ".lock")


def test_a_tampered_tarball_is_refused_before_it_is_unpacked(machine: Machine, site: ReleaseSite) -> None:
    site.publish(tarball(script("4.0")))
    site.files[TARBALL] = tarball(script("6.6.6"))
    with pytest.raises(BitcoindNotFound, match=f"{TARBALL} does not match its SHA256SUMS"):
        machine.find(base=site.base)
    assert fetched(machine) == []


def test_an_interrupted_download_is_never_used(machine: Machine, site: ReleaseSite) -> None:
    site.publish(tarball(script("4.0")))
    site.announced[TARBALL] = len(site.files[TARBALL]) + 1
    with pytest.raises(BitcoindNotFound, match=r"ended after \d+ of \d+ bytes"):
        machine.find(base=site.base)
    assert fetched(machine) == []


def test_what_a_killed_fetch_left_is_cleared_away(machine: Machine, site: ReleaseSite) -> None:
    put_script(machine.cache / ".fetch-killed/bitcoin-99.0/bin/bitcoind", script("half"))
    site.publish(tarball(script("4.0")))
    assert machine.find(base=site.base).version == "4.0"
    assert fetched(machine) == ["release"]


def test_a_damaged_cache_is_fetched_again(machine: Machine, site: ReleaseSite) -> None:
    put_script(machine.cache / "release/bitcoin-98.0/bin/bitcoind", b"")
    site.publish(tarball(script("4.0")))
    assert machine.find(base=site.base).version == "4.0"


@pytest.mark.parametrize(
    "name", ["../escaped", "/etc/escaped", "../bitcoin-99.0/bin/bitcoind", "bitcoin-99.0/../../bin/bitcoind"]
)
def test_a_tarball_cannot_write_outside(machine: Machine, site: ReleaseSite, name: str) -> None:
    site.publish(tarball(script("4.0"), name))
    with pytest.raises(BitcoindNotFound):
        machine.find(base=site.base)
    assert fetched(machine) == []


def test_a_link_in_a_tarball_is_not_unpacked(machine: Machine, site: ReleaseSite, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("bitcoin-99.0/bin/bitcoind")
        member.type, member.linkname = tarfile.SYMTYPE, str(put_script(tmp_path / "elsewhere", script("4.0")))
        archive.addfile(member)
    site.publish(buffer.getvalue())
    with pytest.raises(BitcoindNotFound, match="the download contains no bitcoind"):
        machine.find(base=site.base)


def test_a_tarball_without_bitcoind_is_refused(machine: Machine, site: ReleaseSite) -> None:
    site.publish(tarball(b"hello", "bitcoin-99.0/README"))
    with pytest.raises(BitcoindNotFound, match="the download contains no bitcoind"):
        machine.find(base=site.base)


def test_a_tarball_that_is_none_is_refused(machine: Machine, site: ReleaseSite) -> None:
    site.publish(b"this is not a tarball")
    with pytest.raises(BitcoindNotFound, match="cannot be unpacked"):
        machine.find(base=site.base)


def test_two_at_once_fetch_once(machine: Machine, site: ReleaseSite) -> None:
    site.publish(tarball(script("4.0")))
    found: list[BitcoindBinary] = []
    threads = [threading.Thread(target=lambda: found.append(machine.find(base=site.base))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.version for each in found] == ["4.0"] * 4
    assert site.asked.count(TARBALL) == 1


# When nothing works


def test_the_error_tells_all_reasons_and_what_to_install(machine: Machine, site: ReleaseSite) -> None:
    with pytest.raises(BitcoindNotFound) as raised:
        machine.find(base=site.base)
    text = str(raised.value)
    assert "not a Debian system (apt-get, apt-cache, dpkg missing)" in text
    assert f"cannot download from {site.base}/: Not Found" in text
    assert "bitcoin-knots" in text
    assert "https://bitcoincore.org/en/download/" in text
    assert "--bitcoind" in text


def test_no_server_at_all(machine: Machine) -> None:
    with pytest.raises(BitcoindNotFound, match="cannot download from"):
        machine.find()


@pytest.mark.parametrize("base", ["ftp://127.0.0.1/", "/just/a/path"])
def test_the_release_address_is_http(machine: Machine, base: str) -> None:
    with pytest.raises(BitcoindNotFound, match="must begin with https"):
        machine.find(base=base)


def test_a_platform_without_a_release(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "sparc")
    with pytest.raises(BitcoindNotFound, match="no release for Linux sparc"):
        machine.find()


def test_a_cache_that_cannot_be_written_is_named(machine: Machine) -> None:
    machine.cache.write_text("a file where the folder should be")
    with pytest.raises(BitcoindNotFound, match=f"cannot write a bitcoind to {machine.cache}"):
        machine.find()


@contextmanager
def another_download(machine: Machine) -> Iterator[Callable[[], None]]:
    """Another process downloads to the cache; yields what ends that."""
    machine.cache.mkdir()
    with (machine.cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(lock, fcntl.LOCK_UN)


def test_what_another_process_downloads_is_waited_for_and_used(machine: Machine) -> None:
    with another_download(machine) as finish:

        def report(line: str) -> None:
            machine.said.append(line)
            put_script(machine.cache / "release/bitcoin-99.0/bin/bitcoind", script("4.0"))
            finish()

        found = find_bitcoind(None, machine.cache, release_base="http://127.0.0.1:9", report=report)
    assert (found.version, found.origin) == ("4.0", "release tarball, cached")
    assert machine.said == [f"another solominer is downloading a bitcoind to {machine.cache}; waiting for it"]


def test_a_download_that_never_ends_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solominer.node.private.bitcoind.OTHERS_DOWNLOAD_SECS", 0.01)
    with another_download(machine), pytest.raises(BitcoindNotFound, match="it hangs, is stopped, or") as raised:
        machine.find()
    assert f"fuser -v {machine.cache}/.lock" in str(raised.value)


@pytest.mark.parametrize(
    "sums",
    ["", "abc  " + TARBALL, "0" * 64 + "  bitcoin-99.0-riscv64-linux-gnu.tar.gz", "0" * 64 + "  ../" + TARBALL],
)
def test_sums_without_the_platform(sums: str) -> None:
    with pytest.raises(BitcoindNotFound, match="lists no tarball"):
        bitcoind_release.pick_tarball(sums, "x86_64-linux-gnu")


# Debian


def test_sites_are_those_of_the_debian_archive() -> None:
    targets = (
        "http://mirror.example/debian Debian\n"
        "http://mirror.example/debian-security Debian-Security\n"
        "file:/srv/debian Debian\n"
        "http://mirror.example/debian Debian\n"
        "https://apt.example/other Other\n"
    )
    assert bitcoind_debian.debian_sites(targets) == ["http://mirror.example/debian", "file:/srv/debian"]
    assert bitcoind_debian.debian_sites("") == []


def test_libraries_are_read_from_the_package_record() -> None:
    record = "Package: knots\nDepends: systemd | other, libzmq5 (>= 4),\n libc6 (>= 2.34), libc6:any\nSize: 1\n"
    assert bitcoind_debian.needed_libraries(record) == ["libc6", "libzmq5"]
    with pytest.raises(BitcoindNotFound, match="is not in trixie-backports"):
        bitcoind_debian.needed_libraries("")


def test_a_failing_apt_is_told_without_credentials(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitcoind_debian, "KEYRING", machine.bin)
    put_script(machine.bin / "dpkg", b"#!/bin/sh\necho amd64\n")
    put_script(machine.bin / "apt-cache", b"#!/bin/sh\n")
    put_script(
        machine.bin / "apt-get",
        b"#!/bin/sh\n"
        b'[ "$1" = indextargets ] && echo "http://me:secret@mirror.example/debian Debian" && exit\n'
        b'echo "W: noise" >&2; echo "E: Failed to fetch http://me:secret@mirror.example/debian" >&2; exit 100\n',
    )
    with pytest.raises(BitcoindNotFound, match=r"E: Failed to fetch http://mirror\.example/debian") as raised:
        machine.find()
    assert "secret" not in str(raised.value) + "".join(machine.said)
    assert fetched(machine) == []
