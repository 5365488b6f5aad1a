"""Whether a difference that a paper printed is there in our runs, too."""

from typing import Literal, NamedTuple

import numpy as np
import scipy.stats

Verdict = Literal["confirmed", "contradicted", "undecided"]
LEVEL = 0.05


class Difference(NamedTuple):
    """An arm's error minus that of the base, over paired seeds, in percentage points."""

    mean: float
    deviation: float
    p: float
    seeds: int


def paired_difference(errors: np.ndarray, base: np.ndarray) -> Difference:
    """Returns the difference over the seeds that both have, with the p value of the paired t test."""
    seeds = min(len(errors), len(base))
    delta = np.asarray(errors)[:seeds] - np.asarray(base)[:seeds]
    if seeds < 2:
        return Difference(float(delta.mean()), float("nan"), float("nan"), seeds)
    p = 1.0 if not delta.any() else float(scipy.stats.ttest_rel(errors[:seeds], base[:seeds]).pvalue)
    return Difference(float(delta.mean()), float(delta.std(ddof=1)), p, seeds)


def verdict(ours: Difference, published: float) -> Verdict:
    """Returns whether a difference of errors has the sign of the published one, where chance hardly made it."""
    if not ours.p < LEVEL or published == 0:
        return "undecided"
    return "confirmed" if (ours.mean < 0) == (published < 0) else "contradicted"
