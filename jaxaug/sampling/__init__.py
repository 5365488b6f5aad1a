"""Whom: strategies that decide, example by example, what the network sees."""

from jaxaug.sampling.batch_augmented import batch_augmented
from jaxaug.sampling.importance import importance_weights
from jaxaug.sampling.importance_sampled import importance_sampled, max_loss
from jaxaug.sampling.schedules import slow_start, stop_after
from jaxaug.sampling.self_paced import quantile, self_paced
from jaxaug.sampling.strategy import Score, Strategy, always, never

__all__ = [
    "Score",
    "Strategy",
    "always",
    "batch_augmented",
    "importance_sampled",
    "importance_weights",
    "max_loss",
    "never",
    "quantile",
    "self_paced",
    "slow_start",
    "stop_after",
]
