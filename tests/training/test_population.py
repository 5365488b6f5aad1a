"""A population ends as its members do alone."""

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug import always, chain, create_model, gaussian_noise, never, on_images, rotate
from jaxaug.data import Dataset, Split
from jaxaug.sampling import Strategy
from jaxaug.training import (
    TIMES,
    cpu_count,
    fit,
    fit_population,
    init_population,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
    population_runner,
)

CLASSES, BATCH = 3, 8


def split(size: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, size).astype(np.int32)
    images = rng.integers(0, 128, (size, 4, 4, 1)) + 60 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels)


DATA = Dataset("pictures", split(21, 0), split(7, 1), ("a", "b", "c"), validation=split(5, 2))
ABOUT: dict[str, Any] = {"shape": DATA.shape, "num_examples": len(DATA.train.labels)}


class Parts:
    """A network, its steps and its first states."""

    def __init__(self, strategy: Strategy, *, model: str = "mlp", learning_rate: float = 0.1, **options: Any):
        self.model = create_model(model, CLASSES, **options)
        self.optimizer = make_optimizer(learning_rate=learning_rate)
        self.strategy = strategy
        self.steps = (make_train_step(self.model, self.optimizer, strategy), make_eval_step(self.model))

    def states(self, members: int, augments=None):
        keys = jax.random.split(jax.random.key(1), members)
        states = init_population(keys, self.model, self.optimizer, self.strategy, **ABOUT)
        if augments is None:
            return states
        typed = [jax.tree.map(jnp.float32, augment) for augment in augments]
        return [
            dataclasses.replace(state, strategy_state=augment) for state, augment in zip(states, typed, strict=True)
        ]


@functools.cache
def mlp() -> Parts:
    return Parts(always(on_images(gaussian_noise, stddev=0.1), in_state=True), hidden=(5,))


NOISES = [on_images(gaussian_noise, stddev=stddev) for stddev in (0.0, 0.1, 0.3)]


@functools.cache
def alone(place: int):
    parts = mlp()
    state, records = fit(parts.states(3, NOISES)[place], *parts.steps, DATA, epochs=2, batch_size=BATCH)
    return state, [{name: value for name, value in record.items() if name not in TIMES} for record in records]


def assert_same(result, expected, rtol=1e-4):
    (state, records), (expected_state, expected_records) = result, expected
    for ours, theirs in zip(records, expected_records, strict=True):
        assert ours == pytest.approx(theirs, rel=rtol, abs=1e-6)
    for path, leaf in jax.tree.leaves_with_path(state.params):
        theirs = functools.reduce(lambda tree, key: tree[key.key], path, expected_state.params)
        np.testing.assert_allclose(leaf, theirs, rtol=rtol, atol=1e-6)
    np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(expected_state.key))
    assert int(state.step) == int(expected_state.step)


@pytest.mark.parametrize(
    "options", [{"engine": "vmap"}, {"engine": "one_by_one"}, {"engine": "vmap", "at_once": 2}, {}]
)
def test_members_end_as_they_do_alone(options):
    parts = mlp()
    results = fit_population(parts.states(3, NOISES), *parts.steps, DATA, epochs=2, batch_size=BATCH, **options)
    for place, result in enumerate(zip(*results, strict=True)):
        assert_same(result, alone(place))


def test_numbers_of_the_augmentation_are_the_member_s_own():
    noisy = [alone(place)[1][-1]["train_loss"] for place in range(3)]
    assert len(set(noisy)) == 3
    parts = mlp()
    same = parts.states(1)[0]
    states = [
        dataclasses.replace(jax.tree.map(jnp.copy, same), strategy_state=noise)  # numbers as they were written
        for noise in (NOISES[0], NOISES[2], NOISES[0])
    ]
    _, records = fit_population(states, *parts.steps, DATA, epochs=1, batch_size=BATCH, engine="vmap")
    losses = [run[-1]["train_loss"] for run in records]
    assert losses[0] == losses[2]
    assert losses[1] > losses[0]


@pytest.mark.parametrize("engine", ["vmap", "threads"])
def test_each_member_has_its_data(engine):
    parts = mlp()
    others = [dataclasses.replace(DATA, train=split(21, seed)) for seed in (5, 6)]
    given = [DATA, *others]
    states, records = fit_population(
        parts.states(3, NOISES), *parts.steps, given, epochs=2, batch_size=BATCH, engine=engine
    )
    assert_same((states[0], records[0]), alone(0))
    state, own = fit(parts.states(3, NOISES)[2], *parts.steps, others[1], epochs=2, batch_size=BATCH)
    assert records[2][-1]["test_loss"] == pytest.approx(own[-1]["test_loss"], rel=1e-4)
    assert states[2] is not None
    np.testing.assert_allclose(
        jax.tree.leaves(states[2].params)[0], jax.tree.leaves(state.params)[0], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("engine", ["vmap", "threads"])
def test_a_member_that_fails_ends_and_the_others_go_on(engine):
    parts = mlp()
    states = parts.states(3, NOISES)
    broken = jax.tree.map(lambda leaf: leaf * jnp.float32(jnp.nan), states[1].params)
    states[1] = dataclasses.replace(states[1], params=broken)
    finished, records = fit_population(states, *parts.steps, DATA, epochs=2, batch_size=BATCH, engine=engine)
    assert finished[1] is None
    assert records[1] == []
    for place in (0, 2):
        assert_same((finished[place], records[place]), alone(place))


@pytest.mark.parametrize("engine", ["vmap", "threads"])
def test_evaluated_is_as_often_as_asked_and_every_epoch_is_reported(engine):
    parts, epochs = mlp(), []
    _, records = fit_population(
        parts.states(3, NOISES),
        *parts.steps,
        DATA,
        epochs=2,
        batch_size=BATCH,
        engine=engine,
        eval_every=2,
        at_once=2,
        on_epoch=epochs.append,
    )
    assert [record["test_accuracy"] is None for record in records[0]] == [True, False]
    assert sum(epochs) == 6


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot be told which cores to use")
def test_cores_are_those_that_the_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, sorted(before)[:1])
        assert cpu_count() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cpu_count() == len(before)


def test_a_cpu_has_a_thread_for_each_core_and_convolutions_go_alone(monkeypatch):
    taken = []
    for name in ("train_threaded", "train_vmapped"):
        monkeypatch.setattr(
            f"jaxaug.training.population.{name}",
            lambda job, states, *counts, name=name: taken.append((name, counts[-1])) or [(None, [])] * len(states),
        )
    monkeypatch.setattr("jaxaug.training.population.cpu_count", lambda: 2)

    def engines_of(parts: Parts, **options: Any):
        fit_population(parts.states(3), *parts.steps, DATA, epochs=1, batch_size=BATCH, **options)
        return taken.pop()

    dense, convolutional = Parts(never(), hidden=(2,)), Parts(never(), model="cnn", width=2)
    assert engines_of(dense) == ("train_vmapped", 2)
    assert engines_of(dense, engine="one_by_one") == ("train_threaded", 1)
    assert engines_of(dense, at_once=1) == ("train_vmapped", 1)
    assert engines_of(convolutional) == ("train_threaded", 2)
    # A GPU, too, is slow at convolutions with weights for each member; other accelerators were not measured.
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert engines_of(convolutional) == ("train_threaded", 1)
    assert engines_of(dense) == ("train_vmapped", 1)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert engines_of(convolutional) == ("train_vmapped", 1)


def test_programs_are_compiled_once_for_all_threads():
    parts, traced = mlp(), {1: [], 3: []}
    step, eval_step = parts.steps
    for threads, shapes in traced.items():

        def counted(state, batch, shapes=shapes):
            shapes.append(batch["image"].shape)
            return step(state, batch)

        states = parts.states(3, NOISES)
        fit_population(states, counted, eval_step, DATA, epochs=2, batch_size=BATCH, engine="threads", at_once=threads)
    assert sorted(traced[1]) == sorted(traced[3])


@pytest.mark.parametrize("engine", ["vmap", "threads"])
def test_an_error_ends_the_other_threads(engine):
    parts, epochs = mlp(), []

    def interrupted(count):
        epochs.append(count)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_population(
            parts.states(3, NOISES),
            *parts.steps,
            DATA,
            epochs=100_000,
            batch_size=BATCH,
            engine=engine,
            at_once=2,
            on_epoch=interrupted,
        )
    assert len(epochs) <= 3


def test_first_states_are_those_of_init_state():
    parts = mlp()
    keys = jax.random.split(jax.random.key(1), 2)
    for key, state in zip(keys, parts.states(2), strict=True):
        expected = init_state(key, parts.model, parts.optimizer, parts.strategy, **ABOUT)
        for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected.params), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("members", "at_once", "multiple_of"), [(1, 1, 1), (7, 3, 1), (7, 100, 1), (7, 3, 4), (5, 1, 2)]
)
def test_chunks_have_one_size_and_every_member_once(members, at_once, multiple_of):
    chunks = list(population_runner._chunks(members, at_once, multiple_of))
    assert len({len(chunk) for chunk in chunks}) == 1
    assert len(chunks[0]) % multiple_of == 0
    assert len(chunks[0]) <= max(at_once + multiple_of - 1, multiple_of)
    assert [place for chunk in chunks for place in dict.fromkeys(chunk)] == list(range(members))


def test_more_memory_holds_more_members(monkeypatch):
    parts = mlp()
    state = parts.states(1)[0]
    jaxpr = population_runner.step_jaxpr(parts.steps[0], state, DATA, BATCH)
    pages = {"SC_AVPHYS_PAGES": 2**20, "SC_PAGE_SIZE": 1}
    monkeypatch.setattr(population_runner.os, "sysconf", pages.__getitem__)
    few = population_runner.members_that_fit(state, jaxpr)
    pages["SC_PAGE_SIZE"] = 10
    assert 1 < few < population_runner.members_that_fit(state, jaxpr)
    pages["SC_PAGE_SIZE"] = 0
    assert population_runner.members_that_fit(state, jaxpr) == 1


@pytest.mark.parametrize(("known", "free"), [({"SC_PHYS_PAGES": 0}, 700), ({}, 2**32)])
def test_free_memory_is_estimated_where_the_system_does_not_say(known, free, monkeypatch):
    monkeypatch.setattr(population_runner.os, "sysconf_names", known)
    monkeypatch.setattr(population_runner.os, "sysconf", {"SC_PHYS_PAGES": 7, "SC_PAGE_SIZE": 100}.__getitem__)
    assert population_runner._free_bytes() == free


def test_what_does_not_go_together_is_said():
    parts = mlp()

    def population(states: list[Any], data: Any = DATA, **options: Any):
        return fit_population(states, *parts.steps, data, **{"epochs": 1, "batch_size": BATCH, **options})

    first, second = parts.states(2)
    with pytest.raises(ValueError, match="one or more states"):
        population([])
    with pytest.raises(ValueError, match=r"all at the same step; got steps \[0, 3\]"):
        population([first, dataclasses.replace(second, step=jnp.int32(3))])
    with pytest.raises(ValueError, match="one per member; got 1 for 2 members"):
        population([first, second], [DATA])
    with pytest.raises(ValueError, match=r"splits of one size; got sizes \[20, 21\]"):
        population([first, second], [DATA, dataclasses.replace(DATA, train=split(20, 0))])
    with pytest.raises(ValueError, match="batch size of at most the 21"):
        population([first, second], batch_size=22)
    with pytest.raises(ValueError, match="at least one key"):
        init_population([], parts.model, parts.optimizer, parts.strategy, **ABOUT)
    with annotations_unchecked(), pytest.raises(ValueError, match="one_by_one"):
        population([first, second], engine="one by one")
    with annotations_unchecked(), pytest.raises(ValueError, match="at_once"):
        population([first, second], at_once=0)


def test_numbers_in_the_state_act_as_if_they_were_written_down():
    batch = {"image": jax.random.uniform(jax.random.key(0), (4, 6, 6, 1)), "label": jnp.eye(4)}
    for augment in (chain(on_images(rotate, degrees=20.0), on_images(gaussian_noise, stddev=0.2)), *NOISES):
        key, strategy = jax.random.key(3), always(augment, in_state=True)
        selected, state, metrics = jax.jit(strategy.select, static_argnums=3)(key, strategy.init(4), batch, None)
        np.testing.assert_allclose(selected["image"], augment(key, batch)["image"], atol=1e-6)
        assert jax.tree.structure(state) == jax.tree.structure(augment)
        assert metrics["augmented"] == 1.0
