"""What did it change: attention maps and pictures."""

__all__: list[str] = []
