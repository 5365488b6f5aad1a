"""Pictures of the method cards: `python -m experiments.figures.cards`."""
