"""The regret of each way of choosing an augmentation, by training cost."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxaug.search import diversity, rank_correlation, regret
from jaxaug.search.indicators import constrained, log_sum, product, rank_sum, z_score_sum

INDICATORS: dict[str, Callable[..., Any]] = {
    "product": product,
    **{f"log sum, weight {w}": functools.partial(log_sum, weight=w) for w in (0.1, 0.25, 0.5)},
    **{f"z-score sum, weight {w}": functools.partial(z_score_sum, weight=w) for w in (0.25, 0.5, 1.0)},
    "rank sum": rank_sum,
    "constrained": constrained,
}
VALIDATION, HALVING = "early validation accuracy", "successive halving"
WITH_VALIDATION = "log sum, weight 0.5, plus log of early validation accuracy"


class Choice(NamedTuple):
    """One way of choosing at one cost, for all seeds."""

    way: str
    share: float  # fraction of the steps of training every candidate to the end
    regret: np.ndarray  # [S] percentage points of test accuracy below the best candidate
    correlation: np.ndarray  # [S] Spearman's, of the scores and the test accuracies


def truth_without(line: dict[str, Any], seed: int) -> np.ndarray:
    """Returns the test accuracies in percent, averaged over the other seeds: no search is judged by its own run."""
    accuracies = 100 * np.array(line["test"], np.float64)  # NaN where a run failed
    return np.delete(accuracies, seed, axis=1).mean(axis=1)


def regrets_of_one_run(line: dict[str, Any]) -> np.ndarray:
    """Returns, for every seed, the regret of choosing by the test accuracies of its own full run.

    A search must not see these, and with one run per candidate it cannot be expected to do better.
    """
    return _choice(line, "one full run", 1.0, np.array(line["test"], np.float64)).regret


def choices(line: dict[str, Any]) -> Iterator[Choice]:
    """Yields every way of choosing at every cost."""
    validation, losses = np.array(line["validation"], np.float64), np.array(line["loss"], np.float64)
    candidates, seeds, epochs = validation.shape
    full = candidates * epochs
    affinities = jnp.array(line["affinity"])
    for k in range(1, epochs + 1):
        yield _choice(line, VALIDATION, candidates * k / full, validation[:, :, k - 1])
        share = (epochs + candidates * k) / full
        diversities = np.asarray(diversity(losses[:, :, k - 1], losses[:1, :, k - 1]))
        by_name = {
            name: np.stack([indicator(affinities[:, s], diversities[:, s]) for s in range(seeds)], axis=1)
            for name, indicator in INDICATORS.items()
        }
        for name, scores in by_name.items():
            yield _choice(line, name, share, scores)
        seen = np.log(np.maximum(validation[:, :, k - 1], 1e-6))
        yield _choice(line, WITH_VALIDATION, share, by_name["log sum, weight 0.5"] + seen)
    for k in range(1, epochs + 1):
        scores, cost = halved(validation, k)
        yield _choice(line, HALVING, cost / full, scores)


def halved(validation: np.ndarray, first: int) -> tuple[np.ndarray, float]:
    """Returns the scores `[P, S]` of successive halving by validation accuracy, and its cost in epochs per seed.

    All candidates train for `first` epochs, the better half for twice as many, and so on until one is left or training
    ends. Candidates rank by the round in which they dropped out.
    """
    candidates, seeds, epochs = validation.shape
    scores = np.full((candidates, seeds), -np.inf)
    cost = 0.0
    for seed in range(seeds):
        alive, k, done, rung = np.arange(candidates), first, 0, 0
        while True:
            cost += len(alive) * (k - done)
            seen = np.nan_to_num(validation[alive, seed, k - 1], nan=-1.0)
            scores[alive, seed] = rung + seen
            if len(alive) == 1 or k == epochs:
                break
            alive = alive[np.argsort(-seen, stable=True)[: -(-len(alive) // 2)]]
            k, done, rung = min(2 * k, epochs), k, rung + 2
    return scores, cost / seeds


def _choice(line: dict[str, Any], way: str, share: float, scores: np.ndarray) -> Choice:
    truths = [truth_without(line, seed) for seed in range(scores.shape[1])]
    each = [(jnp.asarray(scores[:, seed]), jnp.asarray(truth)) for seed, truth in enumerate(truths)]
    return Choice(
        way,
        share,
        np.array([regret(*pair) for pair in each]),
        np.array([rank_correlation(*pair) for pair in each]),
    )
