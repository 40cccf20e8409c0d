"""Download bitcoind from Debian without root: apt downloads to a private folder, dpkg unpacks there.

The package is `bitcoin-knots` (a Bitcoin Core derivative with the same RPC and ZMQ) of suite trixie-backports, with
the trixie libraries it needs, libc included, so that it runs on an older system through its own dynamic loader. apt
verifies every download with the Debian archive keyring; the system's package state is neither read nor changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from solominer.errors import BitcoindNotFound

PACKAGE = "bitcoin-knots"
SUITE = "trixie"
BACKPORTS = "trixie-backports"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TIMEOUT_SECS = 300
_TOOLS = ("apt-get", "apt-cache", "dpkg")
_LOADERS = ("usr/lib/*/ld-linux*.so.*", "usr/lib64/ld-linux*.so.*", "usr/lib/ld-linux*.so.*")


def fetch(folder: Path, report: Callable[[str], None]) -> None:
    """Unpack bitcoind and its libraries into `folder`/root (about 60 MB). Raises BitcoindNotFound with the reason."""
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise BitcoindNotFound(f"not a Debian system ({', '.join(missing)} missing)")
    if not KEYRING.exists():
        raise BitcoindNotFound(f"the Debian archive keyring {KEYRING} is missing")
    report(f"downloading {PACKAGE} from {BACKPORTS} (about 30 MB, without root)")
    archives = folder / "apt" / "archives"
    config = _write_config(folder / "apt", _sites(), _run("dpkg", "--print-architecture").strip())
    _run("apt-get", "-c", config, "-q", "update")
    shown = _run("apt-cache", "-c", config, "show", "--no-all-versions", PACKAGE)
    libraries = needed_libraries(shown)
    # The private package state is empty, so apt resolves each library down to libc.
    _run("apt-get", "-c", config, "-q", "-y", "--no-install-recommends", "--download-only", "install", *libraries)
    _run("apt-get", "-c", config, "-q", "download", f"{PACKAGE}/{BACKPORTS}", cwd=archives)
    root = folder / "root"
    root.mkdir()
    for package in sorted(archives.glob("*.deb")):
        _run("dpkg", "-x", str(package), str(root))
    shutil.rmtree(folder / "apt")


def command(folder: Path) -> tuple[str, ...] | None:
    """The command to run the bitcoind that `fetch` unpacked, with its own loader and libraries; None if missing."""
    root = (folder / "root").absolute()
    bitcoind = root / "usr/bin/bitcoind"
    loader = next((path for pattern in _LOADERS for path in sorted(root.glob(pattern))), None)
    if loader is None or not bitcoind.exists():
        return None
    library_paths = ":".join(str(path) for path in sorted({lib.parent for lib in root.glob("usr/lib/*/*.so.*")}))
    return (str(loader), "--library-path", library_paths, str(bitcoind))


def needed_libraries(package_record: str) -> list[str]:
    """The shared libraries in a package record's Depends, without packages for its system service."""
    depends = re.search(r"^Depends:(.*(?:\n[ \t].*)*)", package_record, re.MULTILINE)
    names = [item.split()[0].partition(":")[0] for item in depends[1].split(",") if item.strip()] if depends else []
    libraries = sorted({name for name in names if name.startswith("lib")})
    if not libraries:
        raise BitcoindNotFound(f"{PACKAGE} is not in {BACKPORTS} of this archive")
    return libraries


def debian_sites(index_targets: str) -> list[str]:
    """Sites of the Debian archive in `apt-get indextargets` lines of `SITE LABEL`."""
    pairs = (line.partition(" ") for line in index_targets.splitlines())
    return list(dict.fromkeys(site for site, _, label in pairs if label == "Debian"))


def _sites() -> list[str]:
    sites = debian_sites(_run("apt-get", "indextargets", "--format", "$(SITE) $(LABEL)"))
    if not sites:
        raise BitcoindNotFound("this machine's apt sources contain no Debian archive")
    return sites


def _write_config(state: Path, sites: Iterable[str], architecture: str) -> str:
    """Write private apt settings below `state` and return their path; the system's proxy settings still apply."""
    (state / "lists/partial").mkdir(parents=True)
    (state / "archives/partial").mkdir(parents=True)
    (state / "status").touch()
    sources = state / "sources.list"
    sources.touch(mode=0o600)  # a URL may contain credentials
    sources.write_text(
        "".join(
            f"deb [arch={architecture} signed-by={KEYRING}] {site} {suite} main\n"
            for site in sites
            for suite in (SUITE, BACKPORTS)
        )
    )
    config = state / "apt.conf"
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "Dir::Log": state,
        "Acquire::Languages": "none",
        "APT::Install-Suggests": "false",
        "APT::Sandbox::User": "root",  # apt's own user may not have access to the folder
    }
    # Disable hooks of the system: container images clean the cache after each update.
    hooks = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success")
    config.write_text(
        "".join(f"#clear {hook};\n" for hook in (*hooks, "DPkg::Post-Invoke"))
        + "".join(f'{key} "{value}";\n' for key, value in settings.items())
    )
    return str(config)


def _run(*argv: str, cwd: Path | None = None) -> str:
    """Run a tool with LC_ALL=C and return its output. Raises BitcoindNotFound with its error message."""
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BitcoindNotFound(f"{argv[0]} cannot be run: {type(error).__name__}") from error
    if done.returncode != 0:
        raise BitcoindNotFound(f"{argv[0]} failed: {_complaint(argv, done.stderr)}")
    return done.stdout


def _complaint(argv: Sequence[str], stderr: str) -> str:
    errors = [line for line in stderr.splitlines() if line.startswith(("E:", "dpkg"))] or stderr.splitlines()
    text = errors[0] if errors else f"{' '.join(argv[:2])} failed without a message"
    return re.sub(r"//[^/@\s]+@", "//", text)[:300]  # no credentials of a mirror
