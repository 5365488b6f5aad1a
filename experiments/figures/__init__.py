"""Figures: curves, gallery, attention maps, and the pictures of README and method cards."""
