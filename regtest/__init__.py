"""A private chain to try things on: a bitcoind to run, and scenarios to put a node into."""
