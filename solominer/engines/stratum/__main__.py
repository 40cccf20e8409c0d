"""`python -m solominer.engines.stratum` is the Stratum server of a daemon; `engine` starts it."""

import os
import sys

from solominer.engines.stratum.process import main

if __name__ == "__main__":
    sys.modules["scipy"] = None  # type: ignore[assignment]  # Numba would load it, and nothing here uses it
    code = main()
    sys.stderr.flush()
    os._exit(code)  # taking the compiler's library apart takes half a second
