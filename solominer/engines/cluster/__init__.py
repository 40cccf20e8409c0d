"""Many machines: the daemon publishes its jobs over NATS, nodes search them and send their shares.

The head is the daemon; a node is a machine with worker pools (`solominer node`). Messages go through a NATS server with
JetStream, which keeps the newest job and every share that was not judged yet.
"""
