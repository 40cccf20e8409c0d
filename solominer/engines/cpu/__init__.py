"""SHA-256d search on CPUs: kernels, the workers that run them, and the pool that supervises the workers.

Importing this package is cheap: Numba and LLVM are loaded only by `load_kernel`, which workers call.
"""
