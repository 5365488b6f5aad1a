"""Which augmentation, and how much: affinity, diversity and the search.

The indicators, one score from both, are in `jaxaug.search.indicators`. The function `search` is here only: in `jaxaug`
itself that is the name of this package; and so is `refine`, which goes on from what it found.
"""

from jaxaug.search.affinity import affinity
from jaxaug.search.augmentation_search import SearchResult as SearchResult
from jaxaug.search.augmentation_search import search as search
from jaxaug.search.diversity import diversity, entropy_diversity
from jaxaug.search.evaluation import rank_correlation, regret
from jaxaug.search.pareto import pareto_front
from jaxaug.search.refinement import Refinement as Refinement
from jaxaug.search.refinement import refine as refine

__all__ = [
    "affinity",
    "diversity",
    "entropy_diversity",
    "pareto_front",
    "rank_correlation",
    "regret",
]
