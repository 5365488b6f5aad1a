"""Search of augmentations by affinity and diversity."""
