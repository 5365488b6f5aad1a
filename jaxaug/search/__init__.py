"""Which augmentation, and how much: affinity, diversity and the search."""

__all__: list[str] = []
