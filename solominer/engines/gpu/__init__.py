"""SHA-256d search on graphics cards: kernels written from the same description as the CPU's, in OpenCL C or CUDA C."""
