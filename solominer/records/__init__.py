"""Evidence on disk: the dated tree, the journal of found blocks, the ledger, proofs, reports and their verifier."""
