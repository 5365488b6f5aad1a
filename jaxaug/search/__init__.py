"""Which augmentation to use, and how strong: affinity, diversity and the search.

`jaxaug.search.indicators` has the functions that combine both into one score. `search` and `refine` are not names of
`jaxaug` itself, where `search` is this package.
"""

from jaxaug.search._affinity import affinity
from jaxaug.search._diversity import diversity, entropy_diversity
from jaxaug.search.augmentation_search import SearchResult, search
from jaxaug.search.evaluation import rank_correlation, regret
from jaxaug.search.pareto import pareto_front
from jaxaug.search.refinement import Refinement, refine

__all__ = [
    "Refinement",
    "SearchResult",
    "affinity",
    "diversity",
    "entropy_diversity",
    "pareto_front",
    "rank_correlation",
    "refine",
    "regret",
    "search",
]
