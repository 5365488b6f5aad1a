"""The pictures of the loss-driven strategies."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxaug
from experiments.figures.cards.drawing import ORANGE, SMALL, empty_figure, show
from jaxaug.sampling import Score, Strategy
from jaxaug.training import init_state, make_optimizer, make_train_step, network_scorer

DIGITS = {"cmap": "gray_r", "vmin": 0, "vmax": 1}


def train_scores(strategy: Strategy, moments: Sequence[int]) -> tuple[dict[str, jax.Array], list[Score]]:
    """Returns the training digits, and the loss as a function of a batch after each of these numbers of steps."""
    data = jaxaug.load("digits")
    images, labels = data.train
    batch = {
        "image": jnp.asarray(images, jnp.float32) / 255,
        "label": jax.nn.one_hot(labels, data.num_classes),
        "index": jnp.arange(len(labels)),
    }
    model, optimizer = jaxaug.create_model("mlp", data.num_classes), make_optimizer(learning_rate=0.05)
    state = init_state(jax.random.key(0), model, optimizer, strategy, shape=data.shape, num_examples=len(labels))
    train_step, scorer = make_train_step(model, optimizer, strategy), network_scorer(model)

    @jax.jit
    def step_once(state: Any, places: jax.Array) -> Any:
        return train_step(state, jax.tree.map(lambda leaf: leaf[places], batch))[0]

    losses_of = jax.jit(functools.partial(scorer.score, ()))
    order, scores = np.random.default_rng(0), []
    for step in range(1, max(moments) + 1):
        state = step_once(state, order.choice(len(labels), 64, replace=False))
        if step in moments:
            scores.append(functools.partial(losses_of, state.variables))
    return batch, scores


def self_paced(moments: Sequence[int] = (5, 60, 600), threshold: float = 0.1) -> Any:
    """Returns the figure of the same digits at three steps of training, some of them augmented."""
    strategy = jaxaug.self_paced(jaxaug.on_images(jaxaug.gaussian_noise, stddev=0.3), threshold=threshold)
    batch, scores = train_scores(strategy, moments)
    losses = np.asarray([score(batch) for score in scores])
    # From the easiest to the hardest, by the mean log loss over these steps.
    places = np.argsort(np.log(losses + 1e-9).mean(axis=0))[np.linspace(0, losses.shape[1] - 1, 10).astype(int)]

    figure = empty_figure(4.4)
    for part, moment, score, row in zip(figure.subfigures(len(moments), 1), moments, scores, losses, strict=True):
        selected, _, metrics = strategy.select(jax.random.key(0), strategy.init(len(row)), batch, score)
        share = f"{float(metrics['augmented']):.0%} of the training digits"
        title = f"after {moment} steps, {share} have a loss of at least {threshold} and are augmented"
        part.suptitle(title, x=0.005, ha="left", fontsize=10)
        for axes, place in zip(part.subplots(1, len(places)), places, strict=True):
            image = np.asarray(selected["image"][place])
            augmented = bool((image != batch["image"][place]).any())
            show(axes, image, frame=ORANGE if augmented else None, **DIGITS)
            axes.set_xlabel(f"loss {row[place]:.2f}\n{'augmented' if augmented else 'unchanged'}", fontsize=SMALL)
    return figure


def importance_sampled(steps: int = 60) -> Any:
    """Returns the figure of digits, their augmented copies, and the copy of each that was drawn."""
    examples, copies = 4, 4
    augment = jaxaug.chain(jaxaug.on_images(jaxaug.rotate, degrees=30.0), jaxaug.on_images(jaxaug.cutout, size=4))
    strategy = jaxaug.importance_sampled(jax.jit(augment), num_candidates=copies)
    batch, (score,) = train_scores(strategy, [steps])
    batch = {name: values[:examples] for name, values in batch.items()}
    seen = []

    def recorded_score(scored: Any) -> jax.Array:
        seen.append((scored["image"], score(scored)))
        return seen[-1][1]

    selected, _, _ = strategy.select(jax.random.key(0), strategy.init(examples), batch, recorded_score)
    images, losses = (np.asarray(each).reshape(copies, examples, *each.shape[1:]) for each in seen[0])
    probabilities = np.asarray(jaxaug.importance_weights(jnp.asarray(losses)))

    figure = empty_figure(6.0)
    grid = figure.subplots(examples, 2 + copies, width_ratios=[1] * (1 + copies) + [2])
    for i, (first, *row, bar) in enumerate(grid):
        show(first, np.asarray(batch["image"][i]), **DIGITS)
        drawn = (images[:, i] == np.asarray(selected["image"][i])).all(axis=(1, 2, 3))
        for j, axes in enumerate(row):
            show(axes, images[j, i], frame=ORANGE if drawn[j] else None, **DIGITS)
            share = f"q = {probabilities[j, i]:.0%}{', drawn' if drawn[j] else ''}"
            axes.set_xlabel(f"loss {losses[j, i]:.2f}\n{share}", fontsize=SMALL)
        _draw_shares(bar, probabilities[:, i], drawn)
    for j, axes in enumerate(grid[0, :-1]):
        axes.set_title(f"copy {j}" if j else "clean", fontsize=10)
    grid[0, -1].set_title("probability q = loss / Σ losses", fontsize=10)
    return figure


def _draw_shares(axes: Any, probabilities: np.ndarray, drawn: np.ndarray) -> None:
    """Draws a bar of length 1, divided by the probabilities of the copies."""
    begins = np.cumsum(probabilities) - probabilities
    colors = [ORANGE if chosen else "lightgray" for chosen in drawn]
    axes.barh(0, probabilities, 0.3, begins, color=colors, edgecolor="white", linewidth=2)
    for j, middle in enumerate(begins + probabilities / 2):
        color = "white" if drawn[j] else "black"
        axes.text(middle, 0, j + 1, ha="center", va="center", color=color, fontsize=SMALL)
    axes.set(xlim=(0, 1), ylim=(-0.6, 0.4))
    axes.set_axis_off()
