"""Does the search find what full training finds?

Every candidate is trained to the end with every seed. From these runs alone follows what each way to choose would have
chosen after some steps: affinity and diversity by every indicator, early validation accuracy, successive halving.
"""

import dataclasses
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.search.candidates import default_candidates
from experiments.search.choices import (
    HALVING,
    INDICATORS,
    VALIDATION,
    WITH_VALIDATION,
    Choice,
    choices,
    regrets_of_one_run,
)
from experiments.search.setup import made, parts, searched_dataset
from experiments.studies.markdown import markdown_table
from experiments.studies.papers.scales import SMALL
from experiments.studies.recipe import job_config
from experiments.studies.report import filled
from experiments.studies.statistics import mean_text
from experiments.studies.study import Arm, Block, DataPaths, Job, Line, Lines, Measured, ScaleOverrides, Study
from experiments.studies.train_population import epoch_bar
from jaxaug.compose import chain
from jaxaug.sampling import always
from jaxaug.search.baselines import checked_validation
from jaxaug.search.candidates import affinities_by, candidate_states, checked_candidates
from jaxaug.training import (
    Record,
    fit_population,
    in_memory_evaluators,
    init_population,
    make_eval_step,
    make_train_step,
)

BUDGETS = (0.1, 0.2, 0.4)


def measure_candidates(job: Job) -> Measured:
    """Returns, for every candidate and seed: affinity, test accuracy, and losses and accuracies epoch by epoch."""
    job.announce("all candidates")
    config, began = job_config(job), time.monotonic()
    dataset = searched_dataset(config)
    candidates = {str(policy): made(policy, dataset) for policy in default_candidates(dataset.shape)}
    augments = checked_candidates(candidates, dataset.shape, dataset.num_classes)
    recipe = parts(config, dataset)
    model, optimizer, normalize = recipe["model"], recipe["optimizer"], recipe["normalize"]
    strategy = always(chain(), in_state=True)
    keys = jnp.stack([jax.random.key(seed) for seed in range(job.seeds)])
    size = len(dataset.train.labels)
    first = init_population(keys, model, optimizer, strategy, shape=dataset.shape, num_examples=size)
    states = candidate_states(first, augments)
    # Every epoch is validated, the last one is tested, too.
    validation = checked_validation("evidence", dataset)
    watched = dataclasses.replace(dataset, test=validation, validation=None)
    eval_step = make_eval_step(model, normalize=normalize)
    with epoch_bar(len(states) * config.epochs) as bar:
        trained, records = fit_population(
            states,
            make_train_step(model, optimizer, strategy, normalize=normalize),
            eval_step,
            watched,
            epochs=config.epochs,
            batch_size=config.batch_size,
            on_epoch=bar.update,
        )
    seconds = time.monotonic() - began
    test = in_memory_evaluators(eval_step, dataset, eval_batch_size=500)["test"]
    tested = [None if state is None else round(test.means(state)["accuracy"], 6) for state in trained]
    # The first candidate is no augmentation: the clean networks.
    clean = trained[: job.seeds]
    affinities = affinities_by(model, validation, dataset.num_classes, normalize, "ratio")(augments, clean, keys)
    metrics = {
        "candidates": list(candidates),
        "affinity": affinities.tolist(),
        "validation": _by_epoch(records, "test_accuracy", config.epochs, job.seeds),
        "loss": _by_epoch(records, "train_loss", config.epochs, job.seeds),
        "test": [tested[start : start + job.seeds] for start in range(0, len(tested), job.seeds)],
        "steps_per_epoch": -(-size // config.batch_size),
        "examples": size,
    }
    return Measured([], metrics, [seconds])


def _by_epoch(records: list[list[Record]], name: str, epochs: int, seeds: int) -> list[list[list[float | None]]]:
    """Returns a number of every candidate, seed and epoch; None after training diverged."""
    values = [[round(record[name], 6) for record in run] + [None] * (epochs - len(run)) for run in records]
    return [values[start : start + seeds] for start in range(0, len(values), seeds)]


def affordable(found: list[Choice], way: str, budget: float) -> Choice | None:
    """Returns the most expensive choice of a way that a budget pays for."""
    paid = [choice for choice in found if choice.way == way and choice.share <= budget]
    return max(paid, key=lambda choice: choice.share) if paid else None


def regret_table(line: Line) -> str:
    """Returns the text about one dataset: the best candidates, and the regret of each way to choose."""
    metrics = line["metrics"]
    accuracies = 100 * np.array(metrics["test"], np.float64).mean(axis=1)
    best, names = int(np.nanargmax(accuracies)), metrics["candidates"]
    random = float(np.nanmean(np.nanmax(accuracies) - accuracies))
    lucky = mean_text(regrets_of_one_run(metrics), scipy.stats.sem)
    summary = (
        f"{len(accuracies)} candidates, {line['seeds']} seeds, {metrics['examples']:,} training examples. Test "
        f"accuracy after full training: best {accuracies[best]:.2f} % with `{names[best]}`, {accuracies[0]:.2f} % "
        f"without augmentation. A random candidate is {random:.2f} points below the best, the one of the highest test "
        f"accuracy in a single full run {lucky}."
    )
    header = ["chosen by", *(f"{what} at {b:g}" for b in BUDGETS for what in ("regret", "rank correlation"))]
    found, rows = list(choices(metrics)), []
    for way in (*INDICATORS, WITH_VALIDATION, VALIDATION, HALVING):
        cells = []
        for choice in (affordable(found, way, budget) for budget in BUDGETS):
            if choice is None:
                cells += ["-", "-"]
                continue
            cells.append(f"{mean_text(choice.regret, scipy.stats.sem)} ({choice.share:.3f})")
            cells.append(f"{np.nanmean(choice.correlation):.2f}")
        rows.append([way, *cells])
    first = ", ".join(f"`{names[i]}` {accuracies[i]:.2f}" for i in np.argsort(-accuracies)[:5])
    return f"{filled(summary)}\n\n{markdown_table(header, rows)}\n\n{filled(f'The best five: {first}.')}"


def draw_regrets(lines: Lines, path: pathlib.Path, paths: DataPaths) -> None:
    """Draws regret against cost, and the candidates by affinity and diversity, one row for each dataset."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5 * len(lines)), layout="constrained")
    for (left, right), line in zip(figure.subplots(len(lines), 2, squeeze=False), lines, strict=True):
        metrics = line["metrics"]
        found = list(choices(metrics))
        for way in ("product", "log sum, weight 0.5", "rank sum", "z-score sum, weight 0.5", VALIDATION, HALVING):
            mine = sorted((c for c in found if c.way == way), key=lambda choice: choice.share)
            style = "--" if way in (VALIDATION, HALVING) else "-"
            left.plot([c.share for c in mine], [c.regret.mean() for c in mine], style, label=way)
        left.set_xscale("log")
        left.set_xlim(0.02, 1.05)
        left.set_ylim(bottom=0)
        left.axvline(0.1, color="0.8", linewidth=1, zorder=0)
        left.set_xlabel("share of the steps of the full search")
        left.set_ylabel("regret, percentage points")
        left.set_title(line["block"])
        left.legend(fontsize="x-small")
        left.grid(alpha=0.3)
        losses = np.array(metrics["loss"], np.float64)
        early = (losses[:, :, 2] / losses[:1, :, 2]).mean(axis=1)
        accuracies = 100 * np.array(metrics["test"], np.float64).mean(axis=1)
        affinities = np.array(metrics["affinity"]).mean(axis=1)
        points = right.scatter(early, affinities, c=accuracies, cmap="viridis")
        best = np.argsort(-np.nan_to_num(accuracies))[:5]
        for rank, i in enumerate(best, start=1):
            right.annotate(f"{rank}", (early[i], affinities[i]), (4, 3), textcoords="offset points", fontsize="small")
        names = "\n".join(f"{rank}  {metrics['candidates'][i]}" for rank, i in enumerate(best, start=1))
        right.text(0.02, 0.02, names, transform=right.transAxes, fontsize="x-small", verticalalignment="bottom")
        right.set_xscale("log")
        right.set_xlabel("diversity after 3 epochs")
        right.set_ylabel("affinity")
        right.grid(alpha=0.3)
        figure.colorbar(points, label="test accuracy after full training, %")
    FigureCanvasAgg(figure).print_png(str(path))


def block(name: str, data: str, examples: int | None, epochs: int, seeds: int, *options: str) -> Block:
    """Returns the block of a dataset."""
    scale = ScaleOverrides(
        seeds=seeds,
        options=(
            *("--data.name", data, "--data.num-examples", str(examples), "--data.validation", "0.2", *options),
            *("--epochs", str(epochs), "--batch-size", "64", *SMALL, "--optimizer.learning-rate", "0.05"),
        ),
        augment=(),
        setup=f"{name}, a fifth of them for validation, {epochs} epochs of a cosine schedule",
    )
    return Block(name, "digits", (Arm("all candidates"),), scales={"cpu": scale}, measure=measure_candidates)


SEARCH = Study(
    "search",
    "Search by affinity and diversity",
    "Does the search find what full training finds, and at what cost?",
    "the indicators of Takase, KAKENHI 20K19888",
    (
        block("digits, all examples", "digits", None, 30, 5, "--model", "mlp"),
        block("digits, 300 examples", "digits", 300, 30, 5, "--model", "mlp"),
        block("cifar10, 5000 examples", "cifar10", 5000, 10, 3, "--model", "cnn", "--data.downsample", "16"),
    ),
    {},
    notes="Every candidate was trained to the end with every seed; a search has one seed, and is judged by the mean "
    "test accuracy of the *others*. Regret: percentage points of test accuracy between the best candidate and "
    'the one chosen, mean ± standard error over the searches. "At 0.1": with at most a tenth of the steps of '
    "training every candidate to the end; in brackets the share that is spent. The indicators cost one clean "
    "network trained to the end and k epochs of every candidate, early validation accuracy k epochs of every "
    "candidate, successive halving its rungs.",
    block_text=regret_table,
    pictures={"regret.png": draw_regrets},
)

STUDIES = (SEARCH,)
