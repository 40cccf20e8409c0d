"""Getting and running a bitcoind of our own, for trying things on."""
