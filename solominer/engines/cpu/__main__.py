"""`python -m solominer.engines.cpu`: a worker process, started by `worker_process`."""

import os
import sys

from solominer.engines.cpu.worker import CpuWorker
from solominer.engines.pool.worker import main

if __name__ == "__main__":
    # Numba imports SciPy's linear algebra if installed; no kernel uses it, and it costs a quarter of a second.
    sys.modules["scipy"] = None  # type: ignore[assignment]
    code = main(CpuWorker)
    sys.stderr.flush()
    os._exit(code)  # nothing to clean up, and unloading LLVM takes half a second
