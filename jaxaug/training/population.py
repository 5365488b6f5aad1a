"""Training of many networks that differ only in seed, data, or the numbers of their augmentation."""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxaug.checks import check_choice, check_size
from jaxaug.data import Dataset
from jaxaug.sampling import Strategy
from jaxaug.training.evaluation import in_memory_evaluators
from jaxaug.training.jaxprs import has_convolution
from jaxaug.training.population_runner import (
    Job,
    Member,
    members_that_fit,
    step_jaxpr,
    train_threaded,
    train_vmapped,
)
from jaxaug.training.sharding import cpu_count
from jaxaug.training.state import TrainState, init_state
from jaxaug.training.step import EvalStep, TrainStep
from jaxaug.training.types import PopulationEngine, Record, Sampling


def init_population(
    keys: Sequence[jax.Array] | jax.Array,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    strategy: Strategy,
    **options: Any,
) -> list[TrainState]:
    """The states of several runs at step 0, one per key, computed by one compiled program.

    Args:
      keys: typed PRNG keys, one per member.
      model: as in `init_state`.
      optimizer: as in `init_state`.
      strategy: as in `init_state`. With `always(augment, in_state=True)`, each member can have its own numbers: set
        them with `dataclasses.replace(state, strategy_state=another_augment)`.
      **options: of `init_state`: `shape`, `num_examples`, ...

    Returns:
      The states that `init_state` returns, up to float rounding.

    Raises:
      ValueError: there are no keys, or `init_state` raises it.

    Example:
      >>> import jax, optax
      >>> from jaxaug import create_model, never
      >>> states = init_population(
      ...     jax.random.split(jax.random.key(0), 4), create_model("mlp", 3), optax.sgd(0.1), never(),
      ...     shape=(4,), num_examples=120)
      >>> len(states), int(states[3].step)
      (4, 0)
    """
    if len(keys) == 0:
        raise ValueError("init_population takes at least one key; got none.")
    compiled = jax.jit(lambda key: init_state(key, model, optimizer, strategy, **options))
    return [compiled(key) for key in keys]


def fit_population(
    states: Sequence[TrainState],
    train_step: TrainStep,
    eval_step: EvalStep,
    datasets: Dataset | Sequence[Dataset],
    *,
    epochs: int,
    batch_size: int,
    engine: PopulationEngine = "auto",
    at_once: int | None = None,
    sampling: Sampling = "shuffled",
    eval_batch_size: int = 500,
    eval_every: int = 1,
    on_epoch: Callable[[int], object] | None = None,
) -> tuple[list[TrainState | None], list[list[Record]]]:
    """Trains many networks, each with the result that `fit` gives it alone, up to float rounding.

    Members differ in their states: in the key, so in weights, order and noise, and in the state of the strategy, such
    as the numbers of `always(augment, in_state=True)`. All members whose states have the same structure share their
    compiled programs.

    "vmap" steps many members at a time, sharded over the devices if there are several, and in threads on a CPU.
    "threads" trains each member alone, several in parallel, and "one_by_one" one after another. On a CPU, convolutions
    with different weights for each member are slow, so there "auto" takes "threads" for networks that have one, and on
    a GPU "one_by_one". In all other cases it takes "vmap".

    A member whose loss, update or metric becomes NaN or infinite has failed; the others are trained to the end.

    Args:
      states: of `init_state` or `init_population`, with the same arguments except the key, all at the same step. They
        are donated.
      train_step: of `make_train_step`.
      eval_step: of `make_eval_step`.
      datasets: one for all members, in memory, or one per member: training splits of one size, the other splits those
        of the first dataset.
      epochs: length of a whole run, counted from step 0.
      batch_size: at most the number of training examples.
      engine: "vmap", "threads", "one_by_one" or "auto".
      at_once: members in memory at a time; None: as many as are sure to fit into half of the free memory. A CPU trains
        them in this many threads, at most one per core.
      sampling: as in `fit`.
      eval_batch_size: as in `fit`.
      eval_every: as in `fit`.
      on_epoch: called with the number of epochs trained since the last call, summed over the members; never by two
        threads at once.

    Returns:
      The state of each member, None if it failed, and its records: those of `fit` without times, up to the epoch in
      which it failed.

    Raises:
      ValueError: there are no members, their steps differ, the number or sizes of the datasets do not fit, or `fit`
        raises it.

    Example:
      >>> import jax
      >>> from jaxaug import create_model, load, make_eval_step, make_train_step, never
      >>> from jaxaug.training import make_optimizer
      >>> data, optimizer = load("iris"), make_optimizer(learning_rate=0.1)
      >>> model = create_model("mlp", data.num_classes)
      >>> states = init_population(
      ...     jax.random.split(jax.random.key(0), 3), model, optimizer, never(),
      ...     shape=data.shape, num_examples=len(data.train.labels))
      >>> train_step, eval_step = make_train_step(model, optimizer, never()), make_eval_step(model)
      >>> states, records = fit_population(states, train_step, eval_step, data, epochs=20, batch_size=32)
      >>> [member[-1]["train_accuracy"] > 0.95 for member in records]
      [True, True, True]
    """
    check_choice("fit_population", "engine", engine, get_args(PopulationEngine))
    for name, value in (("epochs", epochs), ("eval_every", eval_every), ("at_once", 1 if at_once is None else at_once)):
        check_size("fit_population", name, value, 1)
    # The numbers of an augmentation may still be Python floats.
    states = [jax.tree.map(lambda x: jnp.float32(x) if isinstance(x, float) else x, state) for state in states]
    steps = {int(state.step) for state in states}
    if len(steps) != 1:
        raise ValueError(f"fit_population takes one or more states, all at the same step; got steps {sorted(steps)}.")
    datasets = [datasets] * len(states) if isinstance(datasets, Dataset) else list(datasets)
    if len(datasets) != len(states):
        raise ValueError(
            f"fit_population takes one dataset, or one per member; got {len(datasets)} for {len(states)} members."
        )
    sizes = {len(dataset.train.labels) for dataset in datasets}
    if len(sizes) != 1:
        raise ValueError(f"fit_population takes training splits of one size; got sizes {sorted(sizes)}.")

    reporting = threading.Lock()

    def report(epochs: int) -> None:
        with reporting:
            (on_epoch or (lambda epochs: None))(epochs)

    job = Job(
        train_step,
        in_memory_evaluators(eval_step, datasets[0], eval_batch_size),
        datasets,
        epochs=epochs,
        eval_every=eval_every,
        report=report,
        batch_size=batch_size,
        sampling=sampling,
    )
    results: dict[int, Member] = {}
    for places in _group_by_structure(states):
        group = [states[place] for place in places]
        job = dataclasses.replace(job, datasets=[datasets[place] for place in places])
        jaxpr = step_jaxpr(train_step, group[0], datasets[0], batch_size)
        taken = choose_population_engine(jaxpr) if engine == "auto" else engine
        most = at_once or members_that_fit(group[0], jaxpr)
        # Threads must not call programs for several devices: their collectives would wait for each other.
        one_thread = jax.default_backend() != "cpu" or jax.local_device_count() > 1 or taken == "one_by_one"
        threads = 1 if one_thread else min(most, len(group), cpu_count())
        trained = train_vmapped(job, group, most, threads) if taken == "vmap" else train_threaded(job, group, threads)
        results |= zip(places, trained, strict=True)
    ordered = [results[place] for place in range(len(states))]
    return [state for state, _ in ordered], [records for _, records in ordered]


def choose_population_engine(jaxpr: Any) -> Literal["vmap", "threads", "one_by_one"]:
    """Returns the engine that "auto" stands for, from the backend and a member's step.

    Convolutions with weights of their own for each member are slow, on a CPU and also on a GPU: there, 16 small
    networks by vmap take 1.5 times as long as one after another (`results/accelerator/page.md`).
    """
    if not has_convolution(jaxpr):
        return "vmap"
    match jax.default_backend():
        case "cpu":
            return "threads"
        case "gpu":
            return "one_by_one"
        case _:
            return "vmap"


def _group_by_structure(states: Sequence[TrainState]) -> list[list[int]]:
    """Returns the places of the states with the same structure, shapes and dtypes, group by group."""
    groups: dict[Any, list[int]] = {}
    for place, state in enumerate(states):
        leaves, treedef = jax.tree.flatten(state)
        structure = (treedef, *((leaf.shape, leaf.dtype) for leaf in leaves))
        groups.setdefault(structure, []).append(place)
    return list(groups.values())
