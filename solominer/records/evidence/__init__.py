"""Proofs, seals, signatures, the chain of reports, and the verifier."""
