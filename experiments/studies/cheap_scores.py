"""What cheap scores of augmented copies are worth.

A network is trained with plain augmentation; at chosen steps the copies of many examples are scored exactly and
cheaply. The benefit of a score is the extra loss of the drawn copy, E[loss of the draw] - mean loss, as a share of what
drawing by the exact losses gains.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.run.build import (
    built_augmentation,
    built_model,
    built_optimizer,
    built_strategy,
    normalization,
    thinned,
)
from experiments.studies.markdown import markdown_table
from experiments.studies.papers.scales import SMALL
from experiments.studies.recipe import job_config
from experiments.studies.study import Arm, Block, Job, Line, Measured, ScaleOverrides, Study
from experiments.studies.train_population import whole_of
from jaxaug import create_model, importance_weights
from jaxaug.sampling.loss_table import lookup_losses
from jaxaug.training import (
    Scorer,
    TrainState,
    device_split,
    epoch_order,
    gathered_batch,
    init_state,
    make_optimizer,
    make_train_step,
    network_scorer,
    proxy_scorer,
)

SHARP: dict[str, Any] = {"importance": "softmax", "temperature": 0.1}
CANDIDATES = 4  # copies of each example, M
STEPS = (120, 500)  # after which scores are compared
BATCHES = 20  # that are compared at each
SHARES = (1.0, 0.5, 0.25, 0.2, 0.125)  # of a batch that are scored


class ScoreSnapshot:
    """The losses of the copies of many batches, `[M, n]`, exact and by each cheap score, and the last observed ones."""

    def __init__(self, exact: np.ndarray, cheap: dict[str, np.ndarray], last: np.ndarray, batch_size: int):
        self.exact, self.cheap, self.last, self.batch_size = exact, cheap, last, batch_size
        self.total = self.extra_loss(exact).sum()

    def extra_loss(self, scores: np.ndarray, **options: Any) -> np.ndarray:
        """Returns, for each example, the expected loss of a draw by these scores minus the mean of its copies."""
        q = np.asarray(importance_weights(jnp.asarray(scores), **options))
        return (q * self.exact).sum(0) - self.exact.mean(0)

    def benefit(self, scores: np.ndarray, **options: Any) -> float:
        """Returns the extra loss as a share of that of the exact draw."""
        return float(self.extra_loss(scores, **options).sum() / self.total)

    def benefit_of_share(self, share: float, **options: Any) -> float:
        """Returns the same where only the examples of the largest last loss of each batch are scored, exactly."""
        extra = self.extra_loss(self.exact, **options).reshape(-1, self.batch_size)
        hardest = np.argsort(-self.last.reshape(-1, self.batch_size), axis=1)[:, : round(share * self.batch_size)]
        return float(np.take_along_axis(extra, hardest, axis=1).sum() / self.total)

    def rank_correlation(self, scores: np.ndarray) -> float:
        """Returns Spearman's correlation with the exact losses among the copies of an example, mean over examples."""
        a, b = (scipy.stats.rankdata(x, axis=0) for x in (scores, self.exact))
        a, b = a - a.mean(0), b - b.mean(0)
        norm = np.sqrt((a**2).sum(0) * (b**2).sum(0))
        return float(np.mean((a * b).sum(0) / np.where(norm == 0, 1, norm)))

    def summary(self) -> dict[str, Any]:
        """Returns what a line keeps: the mean loss, and by score its rank correlation, if any, and its benefit."""
        scores: dict[str, tuple[float | None, float]] = {"exact": (1.0, 1.0)}
        scores |= {name: (self.rank_correlation(s), self.benefit(s)) for name, s in self.cheap.items()}
        for way, options in (("by the loss", {}), ("sharply", SHARP)):
            for share in SHARES:
                if share < 1 or options:
                    name = f"exact on {share:.3g} of the batch, drawn {way}"
                    scores[name] = (None, self.benefit_of_share(share, **options))
        return {"mean_loss": float(self.exact.mean()), "scores": scores}


def measure_scores(job: Job) -> Measured:
    """Returns the summaries of the snapshots after each of the steps."""
    job.announce("one training")
    began = time.monotonic()
    snapshots = score_snapshots(job)
    return Measured([], {str(step): each.summary() for step, each in snapshots.items()}, [time.monotonic() - began])


def score_snapshots(job: Job) -> dict[int, ScoreSnapshot]:
    """Returns the snapshots of one training, by step."""
    config = job_config(job)
    full = whole_of(config)
    dataset = thinned(full, config)
    split, examples = device_split(dataset.train), len(dataset.train.labels)
    normalize, classes, batch_size = normalization(full), full.num_classes, config.batch_size
    model, optimizer = built_model(config, classes), built_optimizer(config, examples)
    proxy = proxy_scorer(create_model("cnn", classes, width=8), make_optimizer(learning_rate=0.05), normalize=normalize)
    augment = built_augmentation(config, full)
    strategy = built_strategy(config, augment)
    state = init_state(
        jax.random.key(0), model, optimizer, strategy, shape=full.shape, num_examples=examples, scorer=proxy
    )
    step = jax.jit(make_train_step(model, optimizer, strategy, normalize=normalize, scorer=proxy))
    exact = network_scorer(model, normalize=normalize)
    half_precision = built_model(dataclasses.replace(config, dtype="bfloat16"), classes)
    cheap: dict[str, tuple[Scorer, Callable[[TrainState], Any]]] = {
        "half resolution": (network_scorer(model, normalize=normalize, resolution=2), lambda s: s.variables),
        "bfloat16": (network_scorer(half_precision, normalize=normalize), lambda s: s.variables),
        "a cnn of width 8 that learns along": (proxy, lambda s: s.variables),
        "weights 100 steps old": (exact, lambda s: older),
    }
    scored = {name: jax.jit(scorer.score) for name, (scorer, _) in {"": (exact, None), **cheap}.items()}
    augmented = jax.jit(augment)

    def snapshot(state: TrainState) -> ScoreSnapshot:
        rows: dict[str, list[np.ndarray]] = {name: [] for name in scored}
        last = []
        for e in range(BATCHES):
            order_key, *keys = jax.random.split(jax.random.fold_in(jax.random.key(1), e), CANDIDATES + 1)
            batch = gathered_batch(split, jax.random.permutation(order_key, examples)[:batch_size], classes)
            copies = [augmented(key, batch) for key in keys]
            last.append(lookup_losses("snapshot", state.strategy_state.losses, batch))
            for name, score in scored.items():
                variables = cheap[name][1](state) if name else state.variables
                own = state.score_state if name.startswith("a cnn") else ()
                rows[name].append(np.stack([score(own, variables, copy) for copy in copies]))
        found = {name: np.concatenate(each, axis=1) for name, each in rows.items()}
        return ScoreSnapshot(found.pop(""), found, np.concatenate(last), batch_size)

    found, older = {}, state.variables
    per_epoch = examples // batch_size
    order = epoch_order(state.key, jnp.int32(0), examples)
    for t in range(max(STEPS) + 1):
        if t in STEPS:
            found[t] = snapshot(state)
        if t + 100 in STEPS:
            older = state.variables
        if t % per_epoch == 0:
            order = epoch_order(state.key, jnp.int32(t // per_epoch), examples)
        start = t % per_epoch * batch_size
        state, _ = step(state, gathered_batch(split, order[start : start + batch_size], classes))
    return found


def score_table(line: Line) -> str:
    """Returns a sentence and the table of the scores of a line."""
    metrics = line["metrics"]
    losses = ", ".join(f"{found['mean_loss']:.2f} after {step} steps" for step, found in metrics.items())
    header = ["scores", *(f"{what} at {step}" for step in metrics for what in ("rank correlation", "benefit"))]
    names = list(next(iter(metrics.values()))["scores"])
    rows = [
        [name, *("-" if number is None else f"{number:.2f}" for f in metrics.values() for number in f["scores"][name])]
        for name in names
    ]
    return f"Mean loss of the examples that are compared: {losses}.\n\n{markdown_table(header, rows)}"


CHEAP_SCORES = Study(
    "cheap_scores",
    "What cheap scores are worth",
    "How much of the gain of drawing copies by their loss is left when the scores are cheap?",
    "no paper",
    (
        Block(
            "CIFAR-10",
            "cifar10-small",
            (Arm("WRN-10-1", ("--strategy", "self_paced(threshold=-1.0, score='stored')")),),
            measure=measure_scores,
        ),
    ),
    {
        "cpu": ScaleOverrides(
            seeds=1,
            options=(
                *("--model", "wrn_10_1", "--data.num-examples", "5000", "--batch-size", "128"),
                *(*SMALL, "--optimizer.schedule", "constant", "--optimizer.learning-rate", "0.1"),
            ),
            augment=("crop", "flip_left_right", "cutout"),
            setup="WRN-10-1 on 5,000 images of CIFAR-10, batch 128, crop, flip and cutout, M = 4 copies of each of "
            "2,560 examples",
        )
    },
    notes="Rank correlation is Spearman's, among the copies of an example. Benefit is the extra loss of the drawn "
    'copy over the mean of its copies, as a share of what a draw in proportion to the exact losses gains. "On '
    'a share of the batch": the examples whose last observed loss was largest; the others have one copy. '
    '"Sharply": by softmax(loss / 0.1).',
    block_text=score_table,
)

STUDIES = (CHEAP_SCORES,)
