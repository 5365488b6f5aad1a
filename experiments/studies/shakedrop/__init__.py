"""ShakeDrop's parameter sets in networks with and without a final ReLU."""
