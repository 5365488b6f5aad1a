"""What is compiled for a step is kept with it, and with nothing else."""

import gc
import weakref
from typing import Any

import jax
import numpy as np
import pytest

from jaxaug import create_model, never
from jaxaug.data import Dataset, Split
from jaxaug.training import (
    fit,
    fit_population,
    init_population,
    make_eval_step,
    make_optimizer,
    make_train_step,
)

CLASSES = 3


def split(size: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    return Split(rng.random((size, 4)).astype(np.float32), rng.integers(0, CLASSES, size).astype(np.int32))


def table(size: int = 20, seed: int = 0) -> Dataset:
    return Dataset("table", split(size, seed), split(7, seed + 1), ("a", "b", "c"))


class Traced:
    """Steps that count how often they are traced."""

    def __init__(self, learning_rate: float = 0.1):
        self.model = create_model("mlp", CLASSES, hidden=(2,))
        self.optimizer = make_optimizer(learning_rate=learning_rate)
        train_step, eval_step = make_train_step(self.model, self.optimizer, never()), make_eval_step(self.model)
        self.count = 0

        def counted_train_step(state, batch):
            self.count += 1
            return train_step(state, batch)

        def counted_eval_step(state, batch):
            self.count += 1
            return eval_step(state, batch)

        self.steps: Any = (counted_train_step, counted_eval_step)

    def method(self, state, batch):
        return self.steps[0](state, batch)

    def states(self, dataset: Dataset, members: int = 1):
        about = {"shape": dataset.shape, "num_examples": len(dataset.train.labels)}
        keys = jax.random.split(jax.random.key(0), members)
        return init_population(keys, self.model, self.optimizer, never(), **about)

    def fit(self, dataset: Dataset, train_step=None, **options: Any):
        steps = (train_step or self.steps[0], self.steps[1])
        return fit(self.states(dataset)[0], *steps, dataset, **{"epochs": 1, "batch_size": 8, **options})


def test_a_second_run_traces_nothing_and_takes_its_own_data():
    traced, other = Traced(), table(seed=5)
    first, _ = traced.fit(table())
    before = traced.count
    state, records = traced.fit(other)
    assert traced.count == before
    expected, expected_records = Traced().fit(other)
    assert records[0]["test_loss"] == expected_records[0]["test_loss"]
    for ours, theirs, others in zip(*map(jax.tree.leaves, (state.params, expected.params, first.params)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert (ours != others).any()


@pytest.mark.parametrize("options", [{"batch_size": 4}, {"engine": "loop"}, {"sampling": "class_balanced"}])
def test_other_options_are_other_programs(options):
    traced = Traced()
    traced.fit(table())
    before = traced.count
    found = traced.fit(table(), **options)[1]
    assert traced.count > before
    assert found[0]["train_loss"] == pytest.approx(Traced().fit(table(), **options)[1][0]["train_loss"])


def test_other_shapes_are_other_programs():
    traced = Traced()
    traced.fit(table())
    found = traced.fit(table(21))[1]
    assert found[0]["train_loss"] == pytest.approx(Traced().fit(table(21))[1][0]["train_loss"])


@pytest.mark.parametrize("engine", ["vmap", "threads"])
def test_a_second_population_traces_nothing(engine):
    traced, dataset = Traced(), table()

    def run():
        options: dict[str, Any] = {"epochs": 1, "batch_size": 8, "engine": engine}
        train_step, eval_step = traced.steps
        return fit_population(traced.states(dataset, 3), train_step, eval_step, dataset, **options)[1]

    first, before = run(), traced.count
    assert run() == first
    # The jaxpr that the engine is chosen by, and the memory, is not kept.
    assert traced.count <= before + 1


def test_methods_of_two_objects_share_nothing():
    slow, fast = Traced(0.001), Traced(1.0)
    states = [each.fit(table(), train_step=each.method)[0] for each in (slow, fast)]
    assert min(slow.count, fast.count) > 0
    leaves = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)]) for state in states]
    assert np.abs(leaves[0] - leaves[1]).max() > 1e-3


def test_what_is_kept_holds_no_data_and_goes_with_the_step():
    traced, dataset = Traced(), table(33)
    traced.fit(dataset)
    step = weakref.ref(traced.steps[0])
    gc.collect()
    assert [leaf.shape for leaf in jax.live_arrays() if leaf.shape == dataset.train.images.shape] == []
    del traced
    gc.collect()
    assert step() is None
