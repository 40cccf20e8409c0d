"""What all engines with worker processes share: their supervision, the job they read, and the walk through its headers.

Importing this package is cheap: NumPy and compilers are loaded only in the workers.
"""
