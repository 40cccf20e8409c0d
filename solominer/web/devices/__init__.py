"""Device monitor: asks the miners in the house how they are, slowly, and never changes anything on them."""
