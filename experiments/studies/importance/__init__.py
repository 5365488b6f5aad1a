"""Importance-sampled augmentation at equal epochs and at equal time."""
