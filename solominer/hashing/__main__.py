"""`python -m solominer.hashing` is a worker process; `child` starts it."""

import sys

from solominer.hashing.worker import main

if __name__ == "__main__":
    sys.exit(main())
