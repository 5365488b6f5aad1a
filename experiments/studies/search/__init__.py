"""How well indicators choose augmentations."""
