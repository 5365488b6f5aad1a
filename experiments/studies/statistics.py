"""Means, standard deviations and paired differences, and how they are printed."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.stats


class Difference(NamedTuple):
    """Values minus those of a base, over paired seeds."""

    mean: float
    standard_deviation: float
    p: float
    seeds: int


def sample_deviation(values: np.ndarray) -> float:
    """Returns the sample standard deviation."""
    return float(np.std(values, ddof=1))


def mean_text(
    values: np.ndarray, spread: Callable[[np.ndarray], float] = sample_deviation, *, sign: str = "", digits: int = 2
) -> str:
    """Returns mean ± spread of the finite values, or the number alone if there is only one."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    mean = f"{np.mean(values):{sign}.{digits}f}"
    return f"{mean} ± {spread(values):.{digits}f}" if len(values) > 1 else mean


def paired_difference(values: np.ndarray, base: np.ndarray) -> Difference | None:
    """Returns the difference over the seeds that both have, with the p value of the paired t-test."""
    seeds = min(len(values), len(base))
    pairs = np.stack([np.asarray(values, float)[:seeds], np.asarray(base, float)[:seeds]])
    values, base = pairs[:, np.isfinite(pairs).all(axis=0)]
    delta = values - base
    if len(delta) < 2:
        return Difference(float(delta[0]), float("nan"), float("nan"), 1) if len(delta) else None
    p = 1.0 if not delta.any() else float(scipy.stats.ttest_rel(values, base).pvalue)
    return Difference(float(delta.mean()), float(delta.std(ddof=1)), p, len(delta))


def difference_texts(ours: Difference | None, digits: int = 2) -> tuple[str, str]:
    """Returns a difference and its p value, which needs two seeds."""
    if ours is None:
        return "-", "-"
    if ours.seeds < 2:
        return f"{ours.mean:+.{digits}f}", "-"
    return f"{ours.mean:+.{digits}f} ± {ours.standard_deviation:.{digits}f}", f"{ours.p:.2g}"
