"""One picture for each method card that has none from elsewhere: `python -m experiments.figures.cards`."""
