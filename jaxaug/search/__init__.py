"""Which augmentation, and how much: affinity, diversity and the search.

The indicators, one score from both, are in `jaxaug.search.indicators`.
"""

from jaxaug.search.affinity import affinity
from jaxaug.search.diversity import diversity, entropy_diversity
from jaxaug.search.evaluation import rank_correlation, regret
from jaxaug.search.pareto import pareto_front

__all__ = [
    "affinity",
    "diversity",
    "entropy_diversity",
    "pareto_front",
    "rank_correlation",
    "regret",
]
