"""Checks of this machine: permissions, disk, clock, cores, memory, kernel, sensors, service."""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from solominer.config.models import Config
from solominer.config.password_file import files_with_passwords, others_can_read
from solominer.config.paths import default_cache_dir, home, presence
from solominer.config.time_zone import TIME_ZONE_TODO, time_zone_problem
from solominer.doctor.check import Check, CheckOutcome, failed, ms, ok, skipped, warning
from solominer.engines.cpu.machine import usable_cores
from solominer.engines.pool.pool import WORKER_MEMORY_BYTES
from solominer.records.clock import records_problem
from solominer.records.evidence.state import load_state, read_report
from solominer.records.files import shown
from solominer.records.report.formats import many
from solominer.records.tree import Tree

LEAST_FREE_BYTES = 200 << 20
ENOUGH_FREE_BYTES = 2 << 30
SLOW_FSYNC_SECS, TOO_SLOW_FSYNC_SECS = 0.1, 1.0
DAEMON_MEMORY_BYTES = 150 << 20
KERNEL_SECS = 120
SERVICE_FILES = (
    Path("/etc/systemd/system/solominer.service"),
    Path("/usr/lib/systemd/system/solominer.service"),
)
USER_SERVICE_FILES = (
    Path(".config/systemd/user/solominer.service"),
    Path("Library/LaunchAgents/org.solominer.plist"),
)
_FSYNCS = 5


def machine_checks(config: Config, config_path: Path | None) -> list[Check]:
    """All machine checks, in order."""
    return [
        Check("permissions", lambda: _permissions(config, config_path)),
        Check("data folder", lambda: _data_folder(config.records_dir)),
        Check("disk space", lambda: _disk_space(config.records_dir), ("data folder",)),
        Check("disk speed", lambda: _disk_speed(config.records_dir), ("data folder",)),
        Check("clock and records", lambda: _clock_and_records(config.tree_dir)),
        Check("time zone", _time_zone),
        Check("second place for blocks", lambda: _fallback(config)),
        Check("cores", lambda: _cores(config)),
        Check("memory", lambda: _memory(config)),
        Check("kernel", lambda: _kernel(config)),
        Check("sensors", lambda: _sensors(config)),
        Check("service", _service),
    ]


def _permissions(config: Config, config_path: Path | None) -> CheckOutcome:
    """Other users must not be able to read a password, or to write to config.json and data_dir."""
    for path in files_with_passwords(config, config_path):
        if presence(path).there and others_can_read(path):  # a missing file is reported by another check
            return failed(f"other users can read the password in {path}", f"chmod 600 {path}")
    writable = (config.records_dir, *([config_path] if config_path else []))
    for path in writable:
        if _mode_of(path) & stat.S_IWOTH:
            return failed(f"{path} is world-writable", f"chmod o-w {path}")
    return ok("other users can neither read passwords nor write to config.json or data_dir")


def _mode_of(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0  # a missing file is reported by another check


def _data_folder(folder: Path) -> CheckOutcome:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-"):
            pass
    except OSError as error:
        return failed(
            f"{folder} cannot be written: {error.strerror}",
            "grant this user write permission, or set data_dir to another folder",
        )
    return ok(str(folder))


def _disk_space(folder: Path) -> CheckOutcome:
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free at {folder}"
    if free < LEAST_FREE_BYTES:
        return failed(text, "free some space: found blocks and reports need it")
    if free < ENOUGH_FREE_BYTES:
        return warning(text, "free some space, or set data_dir to another disk")
    return ok(text)


def _clock_and_records(folder: Path) -> CheckOutcome:
    """Compare the clock with the newest report: a wrong clock misdates records, and none are deleted by it."""
    tree = Tree(folder)
    head = load_state(tree).head
    report = None if head is None else read_report(tree, head.part)
    if report is None:
        return skipped("no report yet")
    problem = records_problem(report.get("to_at"), time.time())
    if problem:
        return warning(problem, "check the clock (timedatectl); old records are kept until a node confirms it")
    return ok(f"the newest report ends {shown(report.get('to'), 40)}")


def _time_zone() -> CheckOutcome:
    problem = time_zone_problem()
    return (
        warning(problem, TIME_ZONE_TODO)
        if problem
        else ok(f"{'/'.join(dict.fromkeys(time.tzname))}, for hours of the day")
    )


def _disk_speed(folder: Path) -> CheckOutcome:
    try:
        secs = sorted(fsync_secs(folder) for _ in range(_FSYNCS))[_FSYNCS // 2]
    except OSError as error:
        return failed(f"write or fsync failed in {folder}: {error.strerror}", "check the disk")
    text = f"fsync takes {ms(secs)}"
    if secs > TOO_SLOW_FSYNC_SECS:
        return failed(text, "use a faster disk for data_dir: a crash within this time loses the copy of a found block")
    if secs > SLOW_FSYNC_SECS:
        return warning(text, "use a faster disk for data_dir; submission does not wait for it")
    return ok(text)


def fsync_secs(folder: Path) -> float:
    """Seconds to write 64 KiB and fsync file and folder. Raises OSError."""
    started = time.perf_counter()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(bytes(1 << 16))
        file.flush()
        os.fsync(file.fileno())
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return time.perf_counter() - started


def _fallback(config: Config) -> CheckOutcome:
    folder = config.journal_fallback_dir
    if folder is None:
        return ok("none; set journal_fallback_dir to keep found blocks if the first disk fails")
    return _data_folder(folder)


def _cores(config: Config) -> CheckOutcome:
    cores = usable_cores()
    workers = max(1, cores - config.cpu_cores_reserved)
    text = f"{cores} usable of {psutil.cpu_count() or cores}, {config.cpu_cores_reserved} reserved: "
    text += many(workers, "worker")
    if config.cpu_cores_reserved >= cores:
        return warning(text, "lower cpu_cores_reserved: one worker runs in any case and will keep a core busy")
    return ok(text)


def _memory(config: Config) -> CheckOutcome:
    workers = max(1, usable_cores() - config.cpu_cores_reserved)
    needed = DAEMON_MEMORY_BYTES + workers * WORKER_MEMORY_BYTES
    available = psutil.virtual_memory().available
    text = f"{available / 2**30:.1f} GiB available, up to {needed / 2**30:.1f} GiB needed by {many(workers, 'worker')}"
    if available < DAEMON_MEMORY_BYTES + WORKER_MEMORY_BYTES:
        return failed(text, "free some memory: it may not suffice for one worker")
    if available < needed:
        return warning(text, "set max_memory_gb or raise cpu_cores_reserved")
    if config.max_memory_gb is not None and config.max_memory_gb * 2**30 < workers * WORKER_MEMORY_BYTES:
        return warning(f"{text}; max_memory_gb allows fewer", "raise max_memory_gb to run all workers")
    return ok(text)


def _kernel(config: Config) -> CheckOutcome:
    """Load the kernel in its own process: an instruction that this CPU lacks kills the process."""
    command = [sys.executable, "-m", "solominer.doctor.kernel_check", str(default_cache_dir())]
    command += [config.kernel] if config.kernel else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=KERNEL_SECS)
    except subprocess.TimeoutExpired:
        return failed(f"kernel check timed out after {KERNEL_SECS} s", "check the machine's load")
    if done.returncode < 0:
        todo = "select another kernel with the setting kernel"
        return failed(f"kernel check was killed by signal {-done.returncode}", todo)
    try:
        result = json.loads(done.stdout)
    except json.JSONDecodeError:
        last_line = done.stderr.strip().rpartition("\n")[2]
        return failed(f"the kernel check could not run: {last_line:.200}", "check the numba installation")
    if result["problem"]:
        return failed(result["problem"], result["todo"])
    return ok(f"{result['kernel']} on {cpu_name()}: {result['tested']} hashes match hashlib, {result['rate']}")


def cpu_name() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [text.partition(":")[2].strip() for text in lines if text.startswith("model name")]
    return names[0] if names else platform.machine()


def _sensors(config: Config) -> CheckOutcome:
    from solominer.governor.throttle import Sensors

    wanted, sensors = config.throttle, Sensors()
    temperature, battery = sensors.temperature_c(), sensors.on_battery()
    if wanted.max_temperature_c is not None and temperature is None:
        return failed("max_temperature_c is set, but this machine reports no temperature", "remove max_temperature_c")
    if wanted.pause_on_battery and battery is None:
        return warning("pause_on_battery is set, but this machine has no battery", "remove pause_on_battery")
    readings = [] if temperature is None else [f"{temperature:.0f} °C"]
    readings += [] if battery is None else ["on battery" if battery else "on mains power"]
    return ok(", ".join(readings) or "no temperature or battery sensor; none is required")


def _service() -> CheckOutcome:
    folder = home()
    own = [] if folder is None else [folder / path for path in USER_SERVICE_FILES]
    files = [path for path in (*SERVICE_FILES, *own) if presence(path).there]
    if not files:
        return skipped("not installed; scripts/install-service installs it")
    if files[0].suffix == ".plist" or shutil.which("systemctl") is None:
        return ok(f"installed: {files[0]}")
    scope = ["--user"] if "user" in files[0].parts else []
    done = subprocess.run(
        ["systemctl", *scope, "show", "-p", "ActiveState,NRestarts,UnitFileState", "solominer.service"],
        capture_output=True,
        text=True,
        timeout=10,
    )
    facts = dict(text.partition("=")[::2] for text in done.stdout.splitlines())
    state = facts.get("ActiveState", "unknown")
    text = f"{files[0]} is {state}, {facts.get('UnitFileState', 'unknown')}, {facts.get('NRestarts', '?')} restarts"
    if state == "failed":
        return failed(text, "see journalctl -u solominer, then systemctl restart solominer")
    return ok(text) if state == "active" else warning(text, "systemctl enable --now solominer")
