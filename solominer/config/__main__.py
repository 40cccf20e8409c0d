"""`python -m solominer.config` prints config.json.example."""

import sys

from solominer.config.load import example_json

sys.stdout.write(example_json())
