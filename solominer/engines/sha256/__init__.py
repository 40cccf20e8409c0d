"""The description of a header's hash, from which every engine's kernels are made."""
