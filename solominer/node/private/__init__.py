"""Find, download and run a bitcoind for a private node."""
