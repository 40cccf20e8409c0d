"""`python -m solominer.engines.stratum` is the Stratum server of a daemon; `engine` starts it."""

import sys

from solominer.engines.stratum.process import main

if __name__ == "__main__":
    sys.exit(main())
