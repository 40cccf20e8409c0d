"""Runs a command and terminates it when the parent process ends for any reason.

    python -I -S guard.py GRACE_SECS COMMAND...

The parent holds the write end of the pipe on standard input. When the pipe closes (the parent closed it, ended, or was
killed) the command gets SIGTERM, and SIGKILL after GRACE_SECS. The command's pid is written to standard output as one
line; the exit code is the command's. Works on every platform; standard library only, to start fast.
"""

import os
import signal
import subprocess
import sys
import threading


def main(grace_secs: float, argv: list[str]) -> int:
    """Run `argv` until it ends or standard input closes; return its exit code, 128 + n for signal n."""
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error}\n")
        return 127
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: child.terminate())
    os.write(1, b"%d\n" % child.pid)
    threading.Thread(target=_end_with_starter, args=(child, grace_secs), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_with_starter(child: "subprocess.Popen[bytes]", grace_secs: float) -> None:
    while os.read(0, 64):
        pass
    child.terminate()
    try:
        child.wait(grace_secs)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
