"""Mining at pools: connections with failover, jobs from what they send, and the shares that go to them."""
