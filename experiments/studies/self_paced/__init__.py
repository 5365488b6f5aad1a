"""Self-paced augmentation on small data."""
