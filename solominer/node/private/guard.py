"""Runs one command and ends it together with whoever started this guard, however that ended.

    python -I -S guard.py GRACE_SECS COMMAND...

The starter keeps the write end of the pipe that is this process's standard input. When the pipe closes (the starter
closed it, ended, or was killed) the command gets SIGTERM, and SIGKILL after the grace. The command's pid goes to
standard output as one line; the guard ends with the command's exit code. Nothing here is special to one system:
a pipe closes with its holder everywhere. Standard library only, for it must start fast and on its own.
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
        sys.stderr.write(f"{argv[0]} cannot be started: {error}\n")
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
