"""What cheap scores of augmented copies are worth: `python -m experiments.studies.cheap_scores --data-dir DIR`.

A network is trained with plain augmentation; at chosen steps the copies of many examples are scored exactly and
cheaply. Benefit is the extra loss of the drawn copy, E[loss of the draw] - mean loss, in shares of what drawing by the
exact losses wins. The page is results/cheap_scores.md.
"""

import dataclasses
import math
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
import tyro

from experiments.run.build import normalization
from experiments.run.directory import environment, environment_in_words, replace_text
from jaxaug import chain, create_model, crop, cutout, data, flip_left_right, importance_weights, on_images
from jaxaug.sampling import self_paced
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

AUGMENT = chain(on_images(crop), on_images(flip_left_right), on_images(cutout))
SHARP: dict[str, Any] = {"importance": "softmax", "temperature": 0.1}


@dataclasses.dataclass(frozen=True)
class Command:
    """What to train and when to look."""

    data_dir: pathlib.Path
    """Where the TFDS dataset cifar10 lies."""
    model: str = "wrn_10_1"
    """The network in training."""
    examples: int = 5000
    """Training examples."""
    batch_size: int = 128
    """Examples in a step."""
    candidates: int = 4
    """Copies of each example, M."""
    looks: tuple[int, ...] = (120, 500)
    """Steps after which scores are compared."""
    batches: int = 20
    """Batches that are compared at each."""
    results: pathlib.Path = pathlib.Path("results/cheap_scores.md")
    """The page."""


class Look:
    """The losses of the copies of many batches, `[M, n]`, exact and by each cheap score, and what was seen last."""

    def __init__(self, exact: np.ndarray, cheap: dict[str, np.ndarray], last: np.ndarray, batch_size: int):
        self.exact, self.cheap, self.last, self.batch_size = exact, cheap, last, batch_size
        self.whole = self.extra_loss(exact).sum()

    def extra_loss(self, scores: np.ndarray, **options: Any) -> np.ndarray:
        """Returns, for each example, the expected loss of a draw by these scores over the mean of its copies."""
        q = np.asarray(importance_weights(jnp.asarray(scores), **options))
        return (q * self.exact).sum(0) - self.exact.mean(0)

    def benefit(self, scores: np.ndarray, **options: Any) -> float:
        """Returns the extra loss in shares of that of the exact draw."""
        return float(self.extra_loss(scores, **options).sum() / self.whole)

    def benefit_of_share(self, share: float, **options: Any) -> float:
        """Returns the same where only the examples of the largest last loss of each batch are scored, exactly."""
        extra = self.extra_loss(self.exact, **options).reshape(-1, self.batch_size)
        hardest = np.argsort(-self.last.reshape(-1, self.batch_size), axis=1)[:, : round(share * self.batch_size)]
        return float(np.take_along_axis(extra, hardest, axis=1).sum() / self.whole)

    def rank_correlation(self, scores: np.ndarray) -> float:
        """Returns Spearman's correlation with the exact losses among the copies of an example, mean over examples."""
        a, b = (scipy.stats.rankdata(x, axis=0) for x in (scores, self.exact))
        a, b = a - a.mean(0), b - b.mean(0)
        norm = np.sqrt((a**2).sum(0) * (b**2).sum(0))
        return float(np.mean((a * b).sum(0) / np.where(norm == 0, 1, norm)))


def looks(command: Command) -> dict[int, Look]:
    """Returns what was seen at each of the steps."""
    full = data.load("cifar10", data_dir=command.data_dir)
    split = device_split(data.subset(full, command.examples).train)
    normalize, classes = normalization(full), full.num_classes
    model, optimizer = create_model(command.model, classes), make_optimizer(learning_rate=0.1, weight_decay=5e-4)
    proxy = proxy_scorer(create_model("cnn", classes, width=8), make_optimizer(learning_rate=0.05), normalize=normalize)
    # Augments everyone, and remembers the losses.
    strategy = self_paced(AUGMENT, threshold=-math.inf, score="stored")
    state = init_state(
        jax.random.key(0), model, optimizer, strategy, shape=full.shape, num_examples=command.examples, scorer=proxy
    )
    step = jax.jit(make_train_step(model, optimizer, strategy, normalize=normalize, scorer=proxy))
    exact = network_scorer(model, normalize=normalize)
    cheap: dict[str, tuple[Scorer, Callable[[TrainState], Any]]] = {
        "half resolution": (network_scorer(model, normalize=normalize, resolution=2), lambda s: s.variables),
        "bfloat16": (
            network_scorer(create_model(command.model, classes, dtype=jnp.bfloat16), normalize=normalize),
            lambda s: s.variables,
        ),
        "a cnn of width 8 that learns along": (proxy, lambda s: s.variables),
        "weights 100 steps old": (exact, lambda s: older),
    }
    scored = {name: jax.jit(scorer.score) for name, (scorer, _) in {"": (exact, None), **cheap}.items()}
    augmented = jax.jit(AUGMENT)

    def look(state: TrainState) -> Look:
        rows: dict[str, list[np.ndarray]] = {name: [] for name in scored}
        last = []
        for e in range(command.batches):
            order_key, *keys = jax.random.split(jax.random.fold_in(jax.random.key(1), e), command.candidates + 1)
            index = jax.random.permutation(order_key, command.examples)[: command.batch_size]
            batch = gathered_batch(split, index, classes)
            copies = [augmented(key, batch) for key in keys]
            last.append(lookup_losses("looks", state.strategy_state.losses, batch))
            for name, score in scored.items():
                variables = cheap[name][1](state) if name else state.variables
                own = state.score_state if name.startswith("a cnn") else ()
                rows[name].append(np.stack([score(own, variables, copy) for copy in copies]))
        found = {name: np.concatenate(each, axis=1) for name, each in rows.items()}
        return Look(found.pop(""), found, np.concatenate(last), command.batch_size)

    seen, older = {}, state.variables
    per_epoch = command.examples // command.batch_size
    order = epoch_order(state.key, jnp.int32(0), command.examples)
    for t in range(max(command.looks) + 1):
        if t in command.looks:
            seen[t] = look(state)
            print(f"step {t}: mean loss {seen[t].exact.mean():.3f}", flush=True)
        if t + 100 in command.looks:
            older = state.variables
        if t % per_epoch == 0:
            order = epoch_order(state.key, jnp.int32(t // per_epoch), command.examples)
        start = t % per_epoch * command.batch_size
        state, _ = step(state, gathered_batch(split, order[start : start + command.batch_size], classes))
    return seen


def page(command: Command, seen: dict[int, Look]) -> str:
    """Returns the Markdown page."""
    heads = [f"rank correlation at {t} | benefit at {t}" for t in seen]
    rows = [f"| scores | {' | '.join(heads)} |", "|---|" + "---|---|" * len(seen)]
    first = next(iter(seen.values()))

    def row(name: str, cells: list[str]) -> None:
        rows.append(f"| {name} | {' | '.join(cells)} |")

    row("exact", ["1.00 | 1.00"] * len(seen))
    for name in first.cheap:
        row(
            name,
            [
                f"{look.rank_correlation(look.cheap[name]):.2f} | {look.benefit(look.cheap[name]):.2f}"
                for look in seen.values()
            ],
        )
    for what, options in (("by the loss", {}), ("sharply", SHARP)):
        for share in (1.0, 0.5, 0.25, 0.2, 0.125):
            if share < 1 or options:
                cells = [f"- | {look.benefit_of_share(share, **options):.2f}" for look in seen.values()]
                row(f"exact on {share:.3g} of the batch, drawn {what}", cells)
    losses = ", ".join(f"{look.exact.mean():.2f} after {t} steps" for t, look in seen.items())
    return f"""# What cheap scores are worth

Written by `python -m experiments.studies.cheap_scores --data-dir DIR`: {command.model} on {command.examples:,} images of
CIFAR-10, batch {command.batch_size}, crop, flip and cutout, M = {command.candidates} copies of each of
{command.batches * command.batch_size:,} examples; their mean loss is {losses}. Rank correlation is Spearman's, among
the copies of an example. Benefit is the extra loss of the drawn copy over the mean of its copies, in shares of what a
draw in proportion to the exact losses wins. "On a share of the batch": the examples whose loss, last seen in training,
was largest; the others have one copy. "Sharply": by softmax(loss / {SHARP["temperature"]}).

{chr(10).join(rows)}

{environment_in_words(environment())}.
"""


def main() -> int:
    """Trains, looks and writes the page."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.studies.cheap_scores")
    replace_text(command.results, page(command, looks(command)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
