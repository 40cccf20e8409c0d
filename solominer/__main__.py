"""`python -m solominer`: the same as the console script."""

from solominer.cli import main

main()
