"""SHA-256d search on graphics cards: kernels, and a worker process for each card.

Importing this package is cheap: drivers are loaded only in processes of their own, which a driver may crash.
"""
