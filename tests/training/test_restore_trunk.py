"""A new classifier on a frozen trunk."""

import dataclasses
import functools
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxaug import create_model, never
from jaxaug.training import (
    Checkpoints,
    TrainablePart,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
    restore_trunk,
)

CLASSES = 3


class NoisyHead(nn.Module):
    """A head with parameters of another shape and with noise in training."""

    num_classes: int

    @nn.compact
    def __call__(self, x, *, deterministic):
        return nn.Dense(self.num_classes, name="other")(nn.Dropout(0.5, deterministic=deterministic)(x))


MODEL: Any = create_model("cnn", CLASSES, width=2)
NOISY: Any = create_model("cnn", CLASSES, width=2, head=NoisyHead)
RATE, DECAY, MOMENTUM, CLIP = 0.1, 0.3, 0.9, 0.05
OPTIMIZER = make_optimizer(
    learning_rate=RATE, momentum=MOMENTUM, nesterov=False, weight_decay=DECAY, decayed="all", clip_norm=CLIP
)
STEP = jax.jit(make_train_step(MODEL, OPTIMIZER, never(), trained="head", average_decay=0.9))
EVAL = jax.jit(make_eval_step(MODEL))


def batch(seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.dirichlet(np.ones(CLASSES), 5)
    image = rng.uniform(size=(5, 8, 8, 1))
    return {"image": jnp.asarray(image, jnp.float32), "label": jnp.asarray(labels, jnp.float32)}


@functools.cache
def start(seed: int = 0, model: nn.Module = MODEL, average: bool = True, trained: TrainablePart = "all"):
    state = init_state(
        jax.random.key(seed),
        model,
        OPTIMIZER,
        never(),
        shape=(8, 8, 1),
        num_examples=5,
        average=average,
        trained=trained,
    )
    # Statistics as training leaves them: not those of the start.
    stats = jax.tree.map(lambda x: 1.5 * x - 0.25, state.batch_stats)
    average_of = None if state.average is None else {"params": state.average["params"], "batch_stats": stats}
    return dataclasses.replace(state, batch_stats=stats, average=jax.tree.map(jnp.copy, average_of))


def trunk(variables):
    return {"params": variables["params"]["trunk"], "batch_stats": variables["batch_stats"]}


def bits(tree):
    return {jax.tree_util.keystr(p): np.asarray(x).tobytes() for p, x in jax.tree_util.tree_leaves_with_path(tree)}


def test_the_trunk_stays_bit_for_bit_and_the_classifier_follows_its_own_closed_form():
    first = state = start(trained="head")
    features = MODEL.apply(state.variables, batch()["image"], train=False, method="features")
    pooled = np.asarray(features, np.float64).mean(axis=(1, 2))
    assert (pooled > 0).any(axis=0).all()
    label = np.asarray(batch()["label"], np.float64)
    weights = {name: np.asarray(value, np.float64) for name, value in state.params["classifier"].items()}
    velocity = {name: np.zeros_like(value) for name, value in weights.items()}
    for _ in range(3):
        error = (scipy.special.softmax(pooled @ weights["kernel"] + weights["bias"], axis=1) - label) / 5
        grads = {"kernel": pooled.T @ error, "bias": error.sum(axis=0)}
        norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
        assert norm > CLIP
        for name in weights:
            velocity[name] = MOMENTUM * velocity[name] + grads[name] * CLIP / norm + DECAY * weights[name]
            weights[name] = weights[name] - RATE * velocity[name]
        state, metrics = STEP(state, batch())
        assert bool(metrics["finite"])
    for name, expected in weights.items():
        np.testing.assert_allclose(state.params["classifier"][name], expected, rtol=1e-4, atol=1e-6)
    assert bits(trunk(state.variables)) == bits(trunk(first.variables))
    assert bits(trunk(state.average)) == bits(trunk(first.average))
    assert not (state.average["params"]["classifier"]["kernel"] == first.params["classifier"]["kernel"]).any()
    assert {x.shape for x in jax.tree.leaves(state.opt_state)} == {(4, CLASSES), (CLASSES,)}


def test_the_trunk_infers_and_the_head_trains():
    state = start(trained="head", average=False)
    step = jax.jit(make_train_step(MODEL, OPTIMIZER, never(), trained="head"))
    np.testing.assert_allclose(step(state, batch())[1]["loss"], EVAL(state, batch())["loss"].mean(), rtol=1e-5)
    noisy = start(model=NOISY, trained="head", average=False)
    losses = {
        float(jax.jit(make_train_step(NOISY, OPTIMIZER, never(), trained="head"))(noisy, batch())[1]["loss"]),
        float(make_eval_step(NOISY)(noisy, batch())["loss"].mean()),
    }
    assert len(losses) == 2


class Bare(nn.Module):
    """No network of create_model."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(CLASSES)(x)


def test_what_cannot_be_trained_alone_is_refused_in_one_sentence():
    with pytest.raises(TypeError, match="the methods features and head, as those of create_model; got Bare"):
        make_train_step(Bare(), OPTIMIZER, never(), trained="head")
    with pytest.raises(ValueError, match="parameters under 'classifier', as those of create_model have; got Dense_0"):
        init_state(jax.random.key(0), Bare(), OPTIMIZER, never(), shape=(3,), num_examples=5, trained="head")
    pairs: list[tuple[TrainablePart, TrainablePart]] = [("head", "all"), ("all", "head")]
    for ours, others in pairs:
        step = make_train_step(MODEL, OPTIMIZER, never(), trained=ours)
        with pytest.raises(ValueError, match=rf'init_state\(trained="{ours}"\) with the same optimizer; got an'):
            jax.eval_shape(step, start(trained=others, average=False), batch())


def saved(directory: pathlib.Path, *states):
    with Checkpoints(directory, config={"a": 1}) as checkpoints:
        for step, state in enumerate(states):
            checkpoints.save(dataclasses.replace(state, step=jnp.int32(step)), {})


def listing(directory: pathlib.Path):
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in directory.rglob("*")}


@pytest.mark.parametrize("average", [True, False])
def test_a_state_takes_the_trunk_of_the_newest_checkpoint_and_only_reads(average, tmp_path):
    other = start(7, NOISY, average)
    if average:  # the average, not the weights
        other = dataclasses.replace(other, average=jax.tree.map(lambda x: x * 0.5, other.average))
    saved(tmp_path, start(8, NOISY, average), other)
    before = listing(tmp_path)
    ours = jax.tree.map(jnp.copy, start(trained="head"))
    state = restore_trunk(ours, tmp_path)
    assert listing(tmp_path) == before
    for taken in (state.variables, state.average):
        assert bits(trunk(taken)) == bits(trunk(other.inference_variables))
        assert bits(taken["params"]["classifier"]) == bits(ours.params["classifier"])
    assert bits(state.opt_state) == bits(ours.opt_state)
    buffers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves((state.variables, state.average))]
    assert len(buffers) == len(set(buffers))  # a step is given them all


def test_a_damaged_checkpoint_is_passed_over_and_left_as_it_is(tmp_path):
    other = start(7)
    saved(tmp_path, other, start(8))
    for file in (tmp_path / "1" / "state").rglob("*"):
        if file.is_file() and file.stat().st_size > 300:
            file.write_bytes(file.read_bytes()[:100])
    before = listing(tmp_path)
    with pytest.warns(UserWarning, match=r"1 cannot be read \(.*\); the previous one is used"):
        state = restore_trunk(start(trained="head"), tmp_path)
    assert listing(tmp_path) == before
    assert bits(trunk(state.variables)) == bits(trunk(other.average))


def test_a_directory_that_does_not_fit_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint that can be read in .*nowhere"):
        restore_trunk(start(trained="head"), tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    other = start(average=False)
    wide = {**other.batch_stats["trunk"], "bn1": {"mean": jnp.zeros(3), "var": jnp.ones(3)}}
    saved(tmp_path / "wide", dataclasses.replace(other, batch_stats={"trunk": wide}))
    first = r"\['batch_stats'\]\['trunk'\]\['bn1'\]\['mean'\] is 'float32\[3\]', not 'float32\[2\]', and 1 more"
    with pytest.raises(ValueError, match=rf"0 is of another trunk: {first}\."):
        restore_trunk(start(trained="head"), tmp_path / "wide")
