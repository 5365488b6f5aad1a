"""Which examples to augment: strategies that decide, example by example, what the network sees."""

import warnings
from typing import Any

from jaxaug.sampling._batch_augmented import batch_augmented
from jaxaug.sampling._importance_sampled import importance_sampled, max_loss
from jaxaug.sampling._self_paced import quantile, self_paced
from jaxaug.sampling.importance import importance_weights
from jaxaug.sampling.schedules import slow_start, stop_after
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


def __getattr__(name: str) -> Any:
    if name == "late_off":
        warnings.warn(
            "jaxaug.sampling.late_off is deprecated; use jaxaug.sampling.stop_after.", DeprecationWarning, stacklevel=2
        )
        return stop_after
    raise AttributeError(f"module 'jaxaug.sampling' has no attribute {name!r}")
