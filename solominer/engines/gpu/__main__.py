"""`python -m solominer.engines.gpu`: a worker process, started by `worker_process`."""

import os
import sys

from solominer.engines.gpu.worker import GpuWorker
from solominer.engines.pool.worker import main

if __name__ == "__main__":
    code = main(GpuWorker)
    sys.stderr.flush()
    os._exit(code)  # nothing to clean up, and some drivers hang when they are unloaded
