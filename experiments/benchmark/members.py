"""Epochs of a population: its members vmapped, in threads, or one after another."""

import concurrent.futures
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax

from jaxaug import create_model, never
from jaxaug.data import Dataset
from jaxaug.training import InMemoryRunner, cpu_count, device_split, init_population, make_optimizer, make_train_step
from jaxaug.training.fit import run_epoch
from jaxaug.training.population_runner import Silent, stack


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network and its training."""

    model: str
    dataset: Dataset
    batch_size: int
    members: int

    def epoch(self, members_per_program: int, threads: int) -> Callable[[], Any]:
        """Returns a call that trains all members for an epoch, with `threads` programs in parallel."""
        model = create_model(self.model, self.dataset.num_classes)
        optimizer, split = make_optimizer(learning_rate=0.05), device_split(self.dataset.train)
        keys = jax.random.split(jax.random.key(0), self.members)
        alone = init_population(keys, model, optimizer, never(), shape=self.dataset.shape, num_examples=split.size)
        together = members_per_program > 1
        starts = range(0, self.members, members_per_program)
        states = [stack(alone[start : start + members_per_program]) if together else alone[start] for start in starts]
        runner = InMemoryRunner(
            make_train_step(model, optimizer, never()),
            states[0],
            split,
            batch_size=self.batch_size,
            num_classes=self.dataset.num_classes,
            population=together,
        )
        pool = concurrent.futures.ThreadPoolExecutor(threads)

        def call() -> Any:
            states[:] = pool.map(lambda state: _train_epoch(runner, state), states)
            return [state.params for state in states]

        return call

    def epochs(self, *, vmap: bool) -> dict[str, Callable[[], Any]]:
        """Returns a call that trains all members for an epoch, by engine."""
        threads = cpu_count() if jax.default_backend() == "cpu" else 1
        calls = {"one_by_one": self.epoch(1, 1), "threads": self.epoch(1, cpu_count())}
        return calls | ({"vmap": self.epoch(math.ceil(self.members / threads), threads)} if vmap else {})


def _train_epoch(runner: InMemoryRunner, state: Any) -> Any:
    return run_epoch(runner, state, runner.zero_totals(), 0, 1, Silent())[0]
