"""Entry point of the process."""

import sys

from solominer.web.process import main

sys.exit(main())
