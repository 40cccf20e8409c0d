"""Bitcoin Core's mining interface over a local socket (`bitcoin-node -ipcbind=unix`): the fast path beside RPC."""
