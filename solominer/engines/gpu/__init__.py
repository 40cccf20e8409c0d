"""SHA-256d search on graphics cards: kernels written from the same description as the CPU's, in OpenCL C or CUDA C, and
a worker process for each card, in which alone its driver is loaded."""
