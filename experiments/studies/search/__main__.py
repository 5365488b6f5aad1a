"""Does the search find what full training finds? `python -m experiments.studies.search digits`.

Every candidate is trained to the end with every seed. From these runs alone, what each way to choose would have chosen
after so many steps is known: affinity and diversity by every indicator, early validation accuracy, successive halving.
A finished dataset is one line in results/search.jsonl; page and picture beside it are made from those lines alone.
"""

import dataclasses
import pathlib
import sys
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import tyro

from experiments.run.directory import environment, replace_text
from experiments.search.candidates import default_candidates
from experiments.search.setup import Source, Training, loaded, made, parts
from experiments.studies.jsonl import machine, read_jsonl, write_jsonl
from experiments.studies.search.page import draw, page
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


@dataclasses.dataclass(frozen=True)
class Command:
    """On what, and how often."""

    source: Annotated[Source, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Source)
    training: Annotated[Training, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Training)
    seeds: int = 5
    """Full trainings of every candidate."""
    results: pathlib.Path = pathlib.Path("results/search.jsonl")
    """One line per dataset; page and picture are written beside it, as .md and .png."""


def full_runs(command: Command) -> dict[str, Any]:
    """Returns, for every candidate and seed: affinity, test accuracy, and losses and accuracies epoch by epoch."""
    from tqdm import tqdm

    dataset = loaded(command.source)
    policies = default_candidates(dataset.shape)
    candidates = {str(policy): made(policy, dataset) for policy in policies}
    augments = checked_candidates(candidates, dataset.shape, dataset.num_classes)
    about = parts(command.training, dataset)
    model, optimizer, normalize = about["model"], about["optimizer"], about["normalize"]
    strategy = always(chain(), in_state=True)
    keys = jnp.stack([jax.random.key(seed) for seed in range(command.seeds)])
    size = len(dataset.train.labels)
    first = init_population(keys, model, optimizer, strategy, shape=dataset.shape, num_examples=size)
    states = candidate_states(first, augments)
    # Every epoch is validated, the last one is tested, too.
    validation = checked_validation("evidence", dataset)
    watched = dataclasses.replace(dataset, test=validation, validation=None)
    eval_step = make_eval_step(model, normalize=normalize)
    with tqdm(total=len(states) * command.training.epochs, unit="epoch", disable=not sys.stderr.isatty()) as bar:
        trained, records = fit_population(
            states,
            make_train_step(model, optimizer, strategy, normalize=normalize),
            eval_step,
            watched,
            epochs=command.training.epochs,
            batch_size=command.training.batch_size,
            on_epoch=bar.update,
        )
    test = in_memory_evaluators(eval_step, dataset, eval_batch_size=500)["test"]
    tested = [None if state is None else round(test.means(state)["accuracy"], 6) for state in trained]
    # The first candidate is nothing: the clean networks.
    clean = trained[: command.seeds]
    affinities = affinities_by(model, validation, dataset.num_classes, normalize, "ratio")(augments, clean, keys)
    return {
        "candidates": list(candidates),
        "affinity": affinities.tolist(),
        "validation": _by_epoch(records, "test_accuracy", command),
        "loss": _by_epoch(records, "train_loss", command),
        "test": [tested[start : start + command.seeds] for start in range(0, len(tested), command.seeds)],
        "steps_per_epoch": -(-size // command.training.batch_size),
        "examples": size,
    }


def _by_epoch(records: list[list[Record]], name: str, command: Command) -> list[list[list[float | None]]]:
    """Returns a number of every candidate, seed and epoch; None from where a run ceased to be finite."""
    epochs = command.training.epochs
    values = [[round(record[name], 6) for record in run] + [None] * (epochs - len(run)) for run in records]
    return [values[start : start + command.seeds] for start in range(0, len(values), command.seeds)]


def main() -> int:
    """Runs what is not yet in the results."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.studies.search")
    source, training = command.source, command.training
    what = f"{source.name}, {source.examples or 'all'} examples"
    lines = read_jsonl(command.results)
    if not any(line["dataset"] == what for line in lines):
        said = [source.name, *(f"--{n} {v}" for n, v in (("examples", source.examples), ("side", source.side)) if v)]
        said += [f"--model {training.model}"] if training.model else []
        said += [f"--epochs {training.epochs}", f"--seeds {command.seeds}"]
        said += ["--data-dir DIR"] if source.data_dir else []
        named = {"dataset": what, "command": " ".join(["python -m experiments.studies.search", *said])}
        lines.append({**named, **full_runs(command), **machine(environment())})
        write_jsonl(command.results, lines)
    draw(lines, command.results.with_suffix(".png"))
    replace_text(command.results.with_suffix(".md"), page(lines, command.results.with_suffix(".png").name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
