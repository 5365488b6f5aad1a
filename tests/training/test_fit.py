import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from resumption import Stopper, bits

from jaxaug import create_model, gaussian_noise, importance_sampled, load, never, on_images, self_paced
from jaxaug.data import Dataset, Split
from jaxaug.sampling import Strategy
from jaxaug.training import (
    Hooks,
    NonFiniteError,
    device_split,
    epoch_order,
    fit,
    gathered_batch,
    in_memory,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
)

CLASSES = 3


class TinyConv(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(2, (3, 3))(x)))
        return nn.Dense(CLASSES)(x.mean(axis=(1, 2)))


def remembering() -> Strategy:
    """Adds noise to examples according to their last loss, which it remembers."""

    def select(key, state, batch, score):
        noise = jax.random.normal(key, batch["image"].shape) * 0.1
        last = state[batch["index"]].reshape(-1, *[1] * (noise.ndim - 1))
        return {**batch, "image": batch["image"] + noise * last}, state, {"augmented": jnp.mean(last)}

    return Strategy(
        init=lambda n: jnp.ones(n), select=select, observe=lambda state, b, losses: state.at[b["index"]].set(losses)
    )


def split(size: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, size).astype(np.int32)
    images = rng.integers(0, 128, (size, 5, 5, 1)) + 60 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels)


PICTURES = Dataset("pictures", split(23, 0), split(7, 1), ("a", "b", "c"), validation=split(5, 2))


class Run:
    """A model, its steps and a maker of first states, so that tests share what is compiled."""

    def __init__(self, model, dataset, strategy, *, average=None, learning_rate=0.05, batch_size=4):
        self.optimizer = make_optimizer(learning_rate=learning_rate)
        self.model, self.dataset, self.strategy, self.average = model, dataset, strategy, average
        self.batch_size = batch_size
        self.train_step = make_train_step(model, self.optimizer, strategy, average_decay=average)
        self.eval_step = make_eval_step(model)

    def start(self, seed=0):
        return jax.tree.map(jnp.copy, self.first(seed))

    @functools.cache  # noqa: B019 - a run lives as long as its tests
    def first(self, seed):
        return init_state(
            jax.random.key(seed),
            self.model,
            self.optimizer,
            self.strategy,
            shape=self.dataset.shape,
            num_examples=len(self.dataset.train.labels),
            average=self.average is not None,
        )

    def fit(self, state=None, *, train_step=None, **options):
        options = {"epochs": 3, "batch_size": self.batch_size, **options}
        state = self.start() if state is None else state
        return fit(state, train_step or self.train_step, self.eval_step, self.dataset, **options)


@pytest.fixture(scope="module")
def mlp_run():
    return Run(create_model("mlp", CLASSES, hidden=(8,)), PICTURES, never())


def numbers(records):
    """The records without what a clock measured."""
    return [{k: v for k, v in r.items() if k not in ("seconds", "examples_per_second")} for r in records]


class Recorder(Hooks):
    seconds_between_progress = 0.0

    def __init__(self):
        self.progress, self.records, self.totals = [], [], []

    def on_progress(self, progress):
        self.progress.append(progress)

    def on_epoch(self, record, state, totals):
        self.records.append(record)
        self.totals.append(jax.device_get(totals))


def test_a_record_holds_the_means_of_every_split(mlp_run):
    state, records = mlp_run.fit()
    metrics = ("loss", "accuracy", "top5")
    names = {f"{part}_{name}" for part in ("train", "validation", "test") for name in metrics}
    for epoch, record in enumerate(records, start=1):
        assert set(record) == names | {"epoch", "step", "augmented", "examples_per_second", "seconds"}
        assert (record["epoch"], record["step"]) == (epoch, 6 * epoch)
        assert all(math.isfinite(value) for value in record.values())
        assert record["examples_per_second"] > 0
        assert record["train_top5"] == pytest.approx(1.0)
    assert int(state.step) == 18
    for part in ("validation", "test"):
        images, labels = PICTURES.splits[part]
        logits = mlp_run.model.apply(state.variables, jnp.asarray(images / 255.0, jnp.float32))
        log_p = np.asarray(jax.nn.log_softmax(logits))
        assert records[-1][f"{part}_loss"] == pytest.approx(-log_p[np.arange(len(labels)), labels].mean(), rel=1e-5)
        assert records[-1][f"{part}_accuracy"] == pytest.approx((log_p.argmax(axis=1) == labels).mean())


def test_without_a_validation_split_a_record_has_none(mlp_run):
    dataset = Dataset("pictures", PICTURES.train, PICTURES.test, PICTURES.class_names)
    _, records = fit(mlp_run.start(), mlp_run.train_step, mlp_run.eval_step, dataset, epochs=1, batch_size=23)
    assert not any(name.startswith("validation") for name in records[0])
    assert records[0]["step"] == 1


def test_an_epoch_is_evaluated_when_it_is_its_turn_and_at_the_end(mlp_run):
    _, each = mlp_run.fit(epochs=5)
    _, records = mlp_run.fit(epochs=5, eval_every=2)
    for record, other in zip(numbers(records), numbers(each), strict=True):
        evaluated = record["epoch"] in (2, 4, 5)
        expected = {k: v if evaluated or not k.startswith(("test", "validation")) else None for k, v in other.items()}
        assert record == expected


def test_evaluation_does_not_depend_on_its_batch_size(mlp_run):
    records = [mlp_run.fit(epochs=1, eval_batch_size=size)[1][0] for size in (3, 500)]
    for name in ("test_loss", "test_accuracy", "validation_loss"):
        assert records[0][name] == pytest.approx(records[1][name], rel=1e-6)


def test_hooks_see_every_epoch_and_its_progress(mlp_run):
    hooks = Recorder()
    _, records = mlp_run.fit(epochs=4, engine="loop", hooks=hooks)
    assert hooks.records == records
    for totals in hooks.totals:  # those that the next epoch begins with
        assert totals.pop("bad_step") == -1
        assert not any(totals.values())
    assert [(p.epoch, p.step) for p in hooks.progress] == [(e, s) for e in range(1, 5) for s in range(1, 7)]
    for progress in hooks.progress:
        assert (progress.epochs, progress.steps) == (4, 6)
        assert progress.examples == min(4 * progress.step, 23)
    for epoch in range(4):
        shown, record = hooks.progress[6 * epoch + 5].metrics, records[epoch]
        assert {name: shown[name] for name in ("loss", "accuracy", "top5")} == {
            name: record[f"train_{name}"] for name in ("loss", "accuracy", "top5")
        }


NOISE = on_images(gaussian_noise, stddev=0.1)
CASES = {
    "mlp": lambda: Run(create_model("mlp", CLASSES, hidden=(8,)), PICTURES, remembering(), average=0.9),
    "conv": lambda: Run(TinyConv(), PICTURES, remembering(), average=0.9),
    "self-paced": lambda: Run(
        create_model("mlp", CLASSES, hidden=(8,)), PICTURES, self_paced(NOISE, threshold=1.0, score="stored")
    ),
    "importance": lambda: Run(
        create_model("mlp", CLASSES, hidden=(8,)), PICTURES, importance_sampled(NOISE, scored=0.5, unbiased=True)
    ),
}


@pytest.mark.parametrize(
    ("case", "engine"),
    [
        ("mlp", "scan"),
        ("mlp", "loop"),
        ("conv", "loop"),
        ("self-paced", "scan"),
        ("importance", "loop"),
    ],
)
def test_a_run_stopped_inside_epochs_ends_bit_for_bit_as_one_never_stopped(case, engine, monkeypatch):
    monkeypatch.setattr(in_memory, "_MAX_STEPS_PER_SCAN", 2)  # a scan of 5 full steps: 2, 2, 1
    run = CASES[case]()
    whole, whole_records = run.fit(engine=engine)
    state, totals, records, stops = run.start(), None, [], 0
    # A stop before anything, in the middle, after the last full batch, and between two epochs.
    for programs in (0, 2, {"scan": 1, "loop": 3}[engine], 1, 1, None):
        hooks = Hooks() if programs is None else Stopper(programs)
        if programs is None and engine == "scan":
            run = CASES[case]()  # compiled again, as in another process
        state, more = run.fit(state, engine=engine, totals=totals, hooks=hooks)
        records += more
        if isinstance(hooks, Stopper):
            assert hooks.kept is not None
            assert bits(hooks.kept[0]) == bits(state)
            state, totals = hooks.kept
            stops += 1
    assert stops == 5
    assert bits(state) == bits(whole)
    assert numbers(records) == numbers(whole_records)


def test_a_run_continued_after_its_end_equals_one_longer_run(mlp_run):
    whole, whole_records = mlp_run.fit(epochs=4)
    state, first = mlp_run.fit(epochs=2)
    state, rest = mlp_run.fit(state, epochs=4)
    assert bits(state) == bits(whole)
    for record, other in zip(numbers(first + rest), numbers(whole_records), strict=True):
        assert record == other
    again, none = mlp_run.fit(state, epochs=4)
    assert none == []
    assert int(again.step) == 24


def test_the_seed_alone_decides_a_run(mlp_run):
    once, again, other = (mlp_run.fit(mlp_run.start(seed), epochs=2)[0] for seed in (0, 0, 1))
    assert bits(once) == bits(again)
    assert bits(once) != bits(other)


@pytest.mark.parametrize("engine", ["scan", "loop"])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_the_first_step_that_is_not_finite_is_named(mlp_run, engine, seconds):
    def train_step(state, batch):
        after, metrics = mlp_run.train_step(state, batch)
        return after, {**metrics, "finite": (state.step < 7) | (state.step == 8)}

    hooks = Recorder()
    hooks.seconds_between_progress = seconds
    with pytest.raises(NonFiniteError, match=r"became non-finite at step 7\.") as caught:
        mlp_run.fit(train_step=train_step, engine=engine, hooks=hooks)
    assert caught.value.step == 7
    assert [record["epoch"] for record in hooks.records] == [1]


def test_a_run_that_diverges_stops_at_the_step_that_did():
    run = Run(create_model("mlp", CLASSES, hidden=(8,)), PICTURES, never(), learning_rate=1e25)
    with pytest.raises(NonFiniteError) as caught:
        run.fit(engine="loop")
    state, step = run.start(), jax.jit(run.train_step)
    order, data = epoch_order(state.key, jnp.int32(0), 23), device_split(PICTURES.train)
    bad = None
    for t in range(6):
        state, metrics = step(state, gathered_batch(data, order[4 * t : 4 * t + 4], CLASSES))
        if not metrics["finite"]:
            bad = t
            break
    assert caught.value.step == bad


def test_an_evaluation_that_is_not_finite_stops_the_run(mlp_run):
    def eval_step(state, batch):
        return {name: jnp.full(batch["index"].shape, jnp.nan) for name in ("loss", "accuracy", "top5")}

    with pytest.raises(NonFiniteError, match="The validation loss became non-finite at step 6"):
        fit(mlp_run.start(), mlp_run.train_step, eval_step, PICTURES, epochs=3, batch_size=4)


@pytest.mark.parametrize("name", ["batch_size", "epochs", "eval_batch_size", "eval_every"])
def test_sizes_below_one_are_refused(mlp_run, name):
    with pytest.raises(ValueError, match=f"{name} of at least 1; got 0"):
        mlp_run.fit(**{name: 0})


def stopped(run, programs):
    hooks = Stopper(programs)
    run.fit(engine="loop", hooks=hooks)
    assert hooks.kept is not None
    return hooks.kept


def test_progress_is_counted_from_the_start_of_an_epoch_that_is_resumed(mlp_run):
    state, totals = stopped(mlp_run, 8)
    hooks = Recorder()
    mlp_run.fit(state, engine="loop", totals=totals, hooks=hooks)
    assert [(p.epoch, p.step) for p in hooks.progress] == [(2, s) for s in range(3, 7)] + [(3, s) for s in range(1, 7)]
    assert [p.examples for p in hooks.progress[:4]] == [12, 16, 20, 23]


def test_the_old_name_of_the_totals_is_accepted_with_a_warning(mlp_run):
    state, totals = stopped(mlp_run, 3)
    copied = jax.tree.map(jnp.copy, (state, totals))
    expected, records = mlp_run.fit(state, engine="loop", totals=totals)
    with pytest.warns(DeprecationWarning, match="sums is now called totals"):
        found, others = mlp_run.fit(copied[0], engine="loop", sums=copied[1])
    assert bits(found) == bits(expected)
    assert numbers(records) == numbers(others)


def test_totals_of_another_step_are_refused(mlp_run):
    state, totals = stopped(mlp_run, 3)
    with pytest.raises(
        ValueError, match=r"accuracy, augmented, .* top5; got accuracy, .* skipped, top5\. Leave totals"
    ):
        mlp_run.fit(state, totals={**totals, "skipped": jnp.int32(0)})


def test_a_batch_larger_than_the_training_split_is_refused(mlp_run):
    with pytest.raises(ValueError, match="at most the 23 training examples; got 24"):
        mlp_run.fit(batch_size=24)


@pytest.mark.parametrize(("name", "accuracy"), [("iris", 0.85), ("digits", 0.9)])
def test_a_network_learns(name, accuracy):
    dataset = load(name)
    run = Run(create_model("mlp", dataset.num_classes), dataset, never(), learning_rate=0.1, batch_size=32)
    _, records = run.fit(epochs=8)
    losses = [record["train_loss"] for record in records]
    assert losses[0] < 1.2 * math.log(dataset.num_classes)
    assert losses[-1] < 0.5 * losses[0]
    assert records[-1]["test_accuracy"] > accuracy


def test_later_epochs_compile_nothing(caplog):
    run = Run(create_model("mlp", CLASSES, hidden=(5,)), PICTURES, never())
    with jax.log_compiles():
        run.fit(epochs=1)
        first = [record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()]
        caplog.clear()
        run.fit(epochs=3)
    assert any("jit(steps)" in message for message in first)
    assert [r.getMessage() for r in caplog.records if "Compiling jit(steps)" in r.getMessage()] == []
