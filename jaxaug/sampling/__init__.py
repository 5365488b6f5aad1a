"""Whom: strategies that decide, example by example, what the network sees."""

from jaxaug.sampling.strategy import Score, Strategy, always, never

__all__ = ["Score", "Strategy", "always", "never"]
