"""`python -m solominer.hashing` is a worker process; `child` starts it."""

import os
import sys

from solominer.hashing.worker import main

if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # there is nothing to tidy up, and taking the compiler's library apart takes half a second
