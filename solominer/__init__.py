"""solominer: solo mining on your own Bitcoin Core node."""

__version__ = "0.1.0"
