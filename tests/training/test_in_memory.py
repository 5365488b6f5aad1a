import collections
import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug import create_model, never
from jaxaug.data import Split
from jaxaug.sampling import Strategy
from jaxaug.training import (
    DeviceSplit,
    InMemoryRunner,
    device_split,
    epoch_order,
    gathered_batch,
    in_memory,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
)
from jaxaug.training.evaluation import InMemoryEvaluator
from jaxaug.training.in_memory import choose_engine
from jaxaug.training.jaxprs import has_convolution

CLASSES = 3


class TinyConv(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(2, (3, 3))(x)))
        return nn.Dense(CLASSES)(x.mean(axis=(1, 2)))


def counting() -> Strategy:
    """Counts how often each example was trained on, and keeps the step at which it was last."""

    def observe(state, batch, losses):
        return {
            "seen": state["seen"].at[batch["index"]].add(1),
            "when": state["when"].at[batch["index"]].set(state["step"]),
            "step": state["step"] + 1,
        }

    return Strategy(
        init=lambda n: {
            "seen": jnp.zeros(n, jnp.int32),
            "when": jnp.full(n, -1, jnp.int32),
            "step": jnp.zeros((), jnp.int32),
        },
        select=lambda key, state, batch, score: (batch, state, {"augmented": jnp.float32(0.0)}),
        observe=observe,
    )


MLP, CONV = create_model("mlp", CLASSES, hidden=(4,)), TinyConv()
COUNTING, NEVER = counting(), never()


def pictures(size: int, seed: int = 0) -> DeviceSplit:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (size, 6, 6, 1), np.uint8)
    return device_split(Split(images, rng.integers(0, CLASSES, size).astype(np.int32)))


@functools.cache
def first_state(model, strategy):
    optimizer = make_optimizer(learning_rate=0.1)
    return init_state(jax.random.key(1), model, optimizer, strategy, shape=(6, 6, 1), num_examples=1)


def started(model, strategy, size):
    """Returns a first state of its own, since a program takes what it is given."""
    state = dataclasses.replace(first_state(model, strategy), strategy_state=strategy.init(size))
    return jax.tree.map(jnp.copy, state)


def trained(runner, state, epochs):
    """Returns the state after some epochs, the totals of each, and the lengths of the programs that ran."""
    each, lengths = [], []
    for _ in range(epochs):
        totals, before = runner.zero_totals(), 0
        for step, program, inputs in runner.programs(state):
            state, totals = program(state, totals, *inputs)
            lengths.append(step - before)
            before = step
        each.append(jax.device_get(totals))
    return state, each, lengths


def make_runner(model, strategy, size, batch_size, engine, learning_rate=0.1, train_step=None):
    train_step = train_step or make_train_step(model, make_optimizer(learning_rate=learning_rate), strategy)
    state = started(model, strategy, size)
    data = pictures(size)
    return InMemoryRunner(train_step, state, data, batch_size=batch_size, num_classes=CLASSES, engine=engine), state


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_the_order_of_an_epoch_is_a_permutation(size):
    orders = jax.vmap(lambda epoch: epoch_order(jax.random.key(0), epoch, size))(jnp.arange(20, dtype=jnp.int32))
    np.testing.assert_array_equal(jnp.sort(orders, axis=1), np.tile(np.arange(size), (20, 1)))
    assert orders.dtype == jnp.int32


def test_the_order_differs_between_epochs_and_keys_and_follows_from_them():
    orders = {
        (seed, epoch): tuple(epoch_order(jax.random.key(seed), jnp.int32(epoch), 50).tolist())
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(set(orders.values())) == 16
    assert orders[2, 3] == tuple(epoch_order(jax.random.key(2), jnp.int32(3), 50).tolist())


def test_every_example_comes_to_every_place_of_the_order_equally_often():
    epochs, size = 4000, 5
    orders = jax.vmap(lambda epoch: epoch_order(jax.random.key(0), epoch, size))(jnp.arange(epochs, dtype=jnp.int32))
    counts = np.stack([np.bincount(np.asarray(orders)[:, place], minlength=size) for place in range(size)])
    error = np.sqrt(epochs * (1 / size) * (1 - 1 / size))
    assert np.abs(counts - epochs / size).max() < 5 * error


def test_a_gathered_batch_holds_the_examples_of_its_index_scaled_to_one():
    data = pictures(10)
    index = jnp.array([7, 0, 7], jnp.int32)
    batch = gathered_batch(data, index, CLASSES)
    np.testing.assert_allclose(batch["image"], np.asarray(data.images)[[7, 0, 7]] / 255.0, rtol=1e-6)
    np.testing.assert_array_equal(batch["label"], np.eye(CLASSES)[np.asarray(data.labels)[[7, 0, 7]]])
    np.testing.assert_array_equal(batch["index"], index)


def test_gathered_feature_vectors_are_not_scaled():
    features = np.array([[-3.0, 300.0], [0.5, 1e-3]], np.float32)
    data = device_split(Split(features, np.zeros(2, np.int32)))
    np.testing.assert_array_equal(gathered_batch(data, jnp.array([1, 0], jnp.int32), 2)["image"], features[::-1])


@pytest.mark.parametrize("engine", ["scan", "loop"])
@pytest.mark.parametrize(("size", "batch_size"), [(15, 4), (4, 4), (5, 1)])
def test_an_epoch_trains_on_every_example_once_in_the_order_of_the_epoch(engine, size, batch_size):
    model, strategy = MLP, COUNTING
    runner, state = make_runner(model, strategy, size, batch_size, engine)
    steps = -(-size // batch_size)
    assert runner.steps_per_epoch == steps
    for epoch in range(2):
        order = np.asarray(epoch_order(state.key, jnp.int32(epoch), size))
        state, [totals], lengths = trained(runner, state, 1)
        assert sum(lengths) == steps
        assert totals["examples"] == size
        assert totals["bad_step"] == -1
        np.testing.assert_array_equal(state.strategy_state["seen"], epoch + 1)
        expected = np.empty(size, np.int32)
        expected[order] = epoch * steps + np.arange(size) // batch_size
        np.testing.assert_array_equal(state.strategy_state["when"], expected)
    assert int(state.step) == 2 * steps


@pytest.mark.parametrize("model", [MLP, CONV], ids=["mlp", "conv"])
def test_scan_and_loop_end_in_the_same_state_and_sums(model):
    results = {}
    for engine in ("scan", "loop"):
        runner, state = make_runner(model, COUNTING, 23, 4, engine)
        results[engine] = trained(runner, state, 2)
    (scan, scan_sums, scan_lengths), (loop, loop_sums, loop_lengths) = results["scan"], results["loop"]
    assert max(scan_lengths) > 1
    assert set(loop_lengths) == {1}
    for left, right in zip(
        jax.tree.leaves((scan.params, scan.batch_stats, scan.opt_state, scan_sums)),
        jax.tree.leaves((loop.params, loop.batch_stats, loop.opt_state, loop_sums)),
        strict=True,
    ):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scan.strategy_state["when"], loop.strategy_state["when"])


def test_the_sums_of_an_epoch_weigh_every_batch_by_its_examples():
    """At a learning rate of nearly zero the weights stay, so the mean over the epoch is the mean over the data."""
    model = MLP
    runner, state = make_runner(model, NEVER, 13, 4, "scan", learning_rate=1e-30)
    batch = gathered_batch(runner.data, jnp.arange(13, dtype=jnp.int32), CLASSES)
    expected = make_eval_step(model)(state, batch)
    expected = {name: np.asarray(value).mean() for name, value in expected.items()}
    _, [totals], _ = trained(runner, state, 1)
    for name in ("loss", "accuracy", "top5"):
        np.testing.assert_allclose(totals[name] / 13, expected[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("engine", "convolution", "chosen"),
    [
        ("auto", True, "loop"),
        ("auto", False, "scan"),
        ("scan", True, "scan"),
        ("loop", False, "loop"),
    ],
)
def test_auto_takes_the_loop_on_the_cpu_for_programs_with_convolutions_only(engine, convolution, chosen, monkeypatch):
    program = nn.Conv(2, (3, 3)) if convolution else nn.Dense(2)
    jaxpr = jax.make_jaxpr(lambda key: program.init(key, jnp.zeros((1, 6, 6, 1))))(jax.random.key(0))
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert choose_engine(engine, jaxpr) == chosen
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert choose_engine(engine, jaxpr) == ("loop" if engine == "loop" else "scan")


def test_an_unknown_engine_is_refused():
    with annotations_unchecked(), pytest.raises(ValueError, match="'auto', 'scan', 'loop' for engine; got 'while'"):
        make_runner(MLP, NEVER, 5, 2, "while")


@pytest.mark.parametrize(("name", "holds"), [("mlp", False), ("cnn", True), ("wrn_10_1", True)])
def test_a_convolution_is_found_where_the_training_step_of_a_network_has_one(name, holds):
    model, optimizer = create_model(name, CLASSES), make_optimizer(learning_rate=0.1)
    data, size = jnp.zeros((2, 16, 16, 1)), (16, 16, 1)
    state = jax.eval_shape(
        lambda key: init_state(key, model, optimizer, NEVER, shape=size, num_examples=2), jax.random.key(0)
    )
    batch = {"image": data, "label": jnp.ones((2, CLASSES)) / CLASSES}
    train_step = make_train_step(model, optimizer, NEVER)
    jaxpr = jax.make_jaxpr(jax.jit(train_step))(state, batch)  # one level down
    assert has_convolution(jaxpr) == holds


@pytest.mark.parametrize(("model", "expected"), [(CONV, "loop"), (MLP, "scan")])
def test_a_runner_asks_its_own_program_for_convolutions(model, expected):
    runner, _ = make_runner(model, NEVER, 16, 4, "auto")
    assert (runner.engine, runner.steps_per_scan) == (expected, 1 if expected == "loop" else 4)


@pytest.fixture(scope="module", params=[(10, 1), (21, 2), (65, 1), (130, 1)])
def scan_runner(request):
    size, batch_size = request.param
    return make_runner(MLP, NEVER, size, batch_size, "scan")


def chunks(runner, state, position):
    """Returns (length, program) of every program from a position in the epoch."""
    programs = list(runner.programs(dataclasses.replace(state, step=jnp.int32(position))))
    starts = [position, *(step for step, _, _ in programs)]
    return [(step - start, program) for start, (step, program, _) in zip(starts, programs, strict=False)]


@pytest.mark.parametrize(
    ("flops", "most", "longest"),
    [(1e30, 64, 1), (1e10, 64, 10), (2e10, 64, 5), (0.0, 64, 64), (0.0, 3, 3), (0.0, 1, 1)],
)
def test_the_chunks_of_a_scan_add_up_to_the_epoch_from_every_position(flops, most, longest, scan_runner, monkeypatch):
    runner, state = scan_runner
    monkeypatch.setattr(in_memory, "_FLOPS_PER_SCAN", {"cpu": 1e11})
    monkeypatch.setattr(in_memory, "_MAX_STEPS_PER_SCAN", most)
    monkeypatch.setattr(runner, "steps_per_scan", runner._scan_length(flops))
    whole = [length for length, _ in chunks(runner, state, 0)]
    for position in range(runner.steps_per_epoch):
        lengths = [length for length, _ in chunks(runner, state, position)]
        assert sum(lengths) == runner.steps_per_epoch - position
    assert max(whole) <= longest
    # Not more chunks than needed, and two lengths of chunk with the odd batch are all that has to be compiled.
    assert len(whole) == -(-runner.full_steps // longest) + bool(runner.remainder)
    assert len(set(whole[: -1 if runner.remainder else None])) <= 2


def test_an_epoch_continued_at_the_end_of_any_chunk_runs_the_same_programs(scan_runner, monkeypatch):
    runner, state = scan_runner
    monkeypatch.setattr(in_memory, "_MAX_STEPS_PER_SCAN", 4)
    monkeypatch.setattr(runner, "steps_per_scan", runner._scan_length(0.0))
    whole = chunks(runner, state, 0)
    for stop in range(len(whole)):
        position = sum(length for length, _ in whole[:stop])
        assert chunks(runner, state, position) == whole[stop:]


def test_a_batch_larger_than_the_split_is_refused():
    with pytest.raises(ValueError, match="at most the 5 training examples; got 6"):
        make_runner(MLP, NEVER, 5, 6, "auto")


@pytest.mark.parametrize("engine", ["scan", "loop"])
def test_nothing_is_compiled_after_the_first_epoch(engine, monkeypatch):
    traces = collections.Counter()
    model, optimizer = MLP, make_optimizer(learning_rate=0.1)
    inner = make_train_step(model, optimizer, COUNTING)

    def train_step(state, batch):
        traces[batch["image"].shape[0]] += 1  # runs when jax traces, not when it executes
        return inner(state, batch)

    monkeypatch.setattr(in_memory, "_MAX_STEPS_PER_SCAN", 3)  # 5 full steps: chunks of 3 and 2, then the odd batch
    runner, state = make_runner(model, COUNTING, 23, 4, engine, train_step=train_step)
    state, _, lengths = trained(runner, state, 1)
    assert lengths == ([3, 2, 1] if engine == "scan" else [1] * 6)
    first = dict(traces)
    assert set(first) == {4, 3}
    compiled = []

    def listener(event, duration_secs, **kwargs):
        if "backend_compile" in event:
            compiled.append(event)

    totals = runner.zero_totals()
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        for _ in range(2):
            for _, program, inputs in runner.programs(state):
                state, totals = program(state, totals, *inputs)
        assert compiled == []
        jax.jit(lambda x: x * 3.25)(jnp.ones(3))
        assert compiled != []  # the listener does hear compilations
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert dict(traces) == first


def test_the_first_of_several_bad_steps_is_noted():
    model, optimizer = MLP, make_optimizer(learning_rate=0.1)
    inner = make_train_step(model, optimizer, NEVER)

    def train_step(state, batch):
        after, metrics = inner(state, batch)
        return after, {**metrics, "finite": (state.step != 7) & (state.step != 9)}

    runner, state = make_runner(model, NEVER, 23, 4, "scan", train_step=train_step)
    _, totals, _ = trained(runner, state, 3)
    assert [int(s["bad_step"]) for s in totals] == [-1, 7, -1]


@pytest.mark.parametrize(("size", "batch_size"), [(10, 3), (10, 10), (10, 100), (11, 5), (1, 1), (13, 12)])
def test_an_evaluation_is_the_mean_over_all_examples_whatever_the_batch_size(size, batch_size):
    model, data = CONV, pictures(size, seed=2)
    state = started(model, NEVER, size)
    batch = gathered_batch(data, jnp.arange(size, dtype=jnp.int32), CLASSES)
    expected = jax.device_get(make_eval_step(model)(state, batch))
    means = InMemoryEvaluator(make_eval_step(model), data, batch_size=batch_size, num_classes=CLASSES).means(state)
    assert set(means) == {"loss", "accuracy", "top5"}
    for name, value in means.items():
        assert isinstance(value, float)
        np.testing.assert_allclose(value, expected[name].astype(np.float64).mean(), rtol=1e-6)


def test_an_example_that_is_nan_makes_the_mean_nan_but_padding_does_not():
    data = pictures(5)

    def eval_step(state, batch):
        bad = jnp.where(batch["index"] == 2, jnp.nan, 1.0)
        return {"loss": bad, "accuracy": jnp.ones(bad.shape), "top5": jnp.ones(bad.shape)}

    state = started(CONV, NEVER, 5)
    means = InMemoryEvaluator(eval_step, data, batch_size=3, num_classes=CLASSES).means(state)
    assert np.isnan(means["loss"])
    assert means["accuracy"] == 1.0
