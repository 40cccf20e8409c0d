"""`python -m solominer.engines.cpu` is a worker process; `worker_process` starts it."""

import os
import sys

from solominer.engines.cpu.worker import main

if __name__ == "__main__":
    # Numba loads SciPy's linear algebra where there is one; no kernel uses it, and it costs a quarter of a second.
    sys.modules["scipy"] = None  # type: ignore[assignment]
    code = main()
    sys.stderr.flush()
    os._exit(code)  # there is nothing to tidy up, and taking the compiler's library apart takes half a second
