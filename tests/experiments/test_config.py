"""Configs as data, and the named ones."""

import dataclasses
import importlib
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import DEFAULT, config_names, named_config
from experiments.run.build import (
    build_augmentation,
    build_model,
    build_optimizer,
    build_scorer,
    build_strategy,
    normalization,
)
from experiments.run.config import Config, DataConfig, OptimizerConfig, ScoreConfig, as_json, from_json
from jaxaug import ShakeDrop, StochasticDepth, load


@pytest.mark.parametrize("name", config_names())
def test_a_named_config_survives_json(name):
    config = named_config(name)
    assert from_json(json.loads(json.dumps(as_json(config)))) == config


def test_a_path_and_milestones_survive_json():
    config = Config(
        data=DataConfig(data_dir=pathlib.Path("/a/b"), num_examples=3),
        optimizer=OptimizerConfig(milestones=(1.5, 2.0)),
        augment=("crop",),
    )
    assert from_json(json.loads(json.dumps(as_json(config)))) == config


@pytest.mark.parametrize("damage", [lambda d: d.pop("data"), lambda d: d.update(extra=1), lambda d: d.update(data=3)])
def test_a_config_of_another_form_is_a_value_error(damage):
    data = as_json(Config())
    damage(data)
    with pytest.raises(ValueError, match="not a valid config for this version"):
        from_json(data)


@pytest.mark.parametrize("name", config_names())
def test_a_named_config_says_paper_command_and_what_to_expect(name):
    module = importlib.import_module(f"experiments.configs.{name.replace('-', '_')}")
    docstring = module.__doc__ or ""
    for part in ("Paper: ", "Command: python -m experiments.train", "Expected: "):
        assert part in docstring


@pytest.mark.parametrize("name", config_names())
def test_the_parts_of_a_named_config_can_be_built(name):
    config = named_config(name)
    dataset = load("breast_cancer" if config.model == "mlp" else "synthetic:32x32x3,10,8")
    batch = {
        "image": np.full((4, *dataset.shape), 0.5, np.float32),
        "label": np.eye(dataset.num_classes, dtype=np.float32)[[0, 1, 0, 1]],
    }
    strategy = build_strategy(config, build_augmentation(config, dataset))
    selected = {}

    @jax.jit
    def augmented(batch):
        """Returns the metric alone, so that XLA compiles nothing else; all of the batch is traced."""
        out, _, metrics = strategy.select(jax.random.key(0), strategy.init(8), batch, lambda b: b["label"][:, 0])
        selected.update(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), out))
        return metrics["augmented"]

    assert augmented(batch) == 1
    assert selected["label"].shape == batch["label"].shape
    model = build_model(config, dataset.num_classes)
    if len(getattr(model.trunk, "layers", ())) < 30:  # deeper ones take long to trace, and are in tests/models
        variables = jax.eval_shape(model.init, jax.random.key(0), selected["image"])
        jax.eval_shape(build_optimizer(config, 8).init, variables["params"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ShakeDrop(alpha=(0.0, 1.0), noise_level='pixel')", ShakeDrop(0.25, (0.0, 1.0), noise_level="pixel")),
        ("ShakeDrop.with_final_relu", ShakeDrop(0.25, (0.0, 0.0))),
        ("StochasticDepth(level='batch')", StochasticDepth(0.25, "batch")),
    ],
)
def test_a_regularizer_can_be_chosen_as_data(text, expected):
    config = Config(regularizer=text, remat=True)
    assert from_json(json.loads(json.dumps(as_json(config)))) == config
    parts = build_model(dataclasses.replace(config, model="wrn_10_1"), 3).trunk.factory
    assert parts.regularizer(keep_prob=0.25) == expected
    assert parts.remat


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ShakeDrip", "unknown regularizer 'ShakeDrip'; did you mean 'ShakeDrop'"),
        ("ShakeDrop(nois=1)", "unknown option of ShakeDrop 'nois'"),
        ("StochasticDepth(name='x')", "unknown option of StochasticDepth 'name'"),
        ("StochasticDepth(keep_prob=0.5)", "the keep_prob of a regularizer is set by the network; remove it from"),
    ],
)
def test_a_regularizer_that_is_none_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        build_model(Config(model="wrn_10_1", regularizer=text), 3)


def test_pooling_convolution_and_classifier_can_be_chosen_as_data():
    config = Config(
        model="resnet20",
        pool="MaxEntropyPool(link='sigmoid')",
        conv="DisentangledConv(radius=1)",
        head="RotatedDense",
    )
    assert from_json(json.loads(json.dumps(as_json(config)))) == config
    variables = jax.eval_shape(lambda k: build_model(config, 3).init(k, jnp.ones((2, 8, 8, 3))), jax.random.key(0))
    names = {part.key for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"]) for part in path}
    assert {"sigma", "guide"} <= names
    assert set(variables["params"]["classifier"]) == {"kernel"}
    with pytest.raises(ValueError, match="the window of a pool is set by the network; remove it from 'GaussianPool"):
        build_model(Config(model="resnet20", pool="GaussianPool(window=(3, 3))"), 3)


def test_scores_and_thresholds_can_be_chosen_as_data():
    config = Config(
        strategy="self_paced(threshold='quantile(q=0.25)', direction='below')",
        score=ScoreConfig(dtype="bfloat16", resolution=2, every=3),
    )
    assert from_json(json.loads(json.dumps(as_json(config)))) == config
    strategy = build_strategy(config, lambda key, batch: {**batch, "image": batch["image"] + 1})
    batch = {"image": jnp.zeros((8, 1)), "label": jnp.eye(8)}
    out, _, _ = strategy.select(jax.random.key(0), strategy.init(8), batch, lambda b: jnp.arange(8.0))
    np.testing.assert_array_equal(out["image"][:, 0], [1, 1, 0, 0, 0, 0, 0, 0])
    for wrong in ("quantil(q=0.5)", "quantile(p=0.5)", "high"):
        with pytest.raises(ValueError, match="unknown"):
            build_strategy(dataclasses.replace(config, strategy=f"self_paced(threshold='{wrong}')"), lambda k, b: b)


def test_a_small_network_scores_at_full_resolution_only():
    config = Config(score=ScoreConfig(model="mlp", resolution=2))
    with pytest.raises(ValueError, match=r"--score\.resolution applies to the trained network"):
        build_scorer(config, 10, lambda x: x, None)


def test_the_default_is_one_of_the_names():
    assert DEFAULT in config_names()
    with pytest.raises(ValueError, match="unknown config 'digist'; did you mean 'digits'"):
        named_config("digist")


def test_mean_stands_for_the_mean_color_of_the_training_images():
    dataset = load("synthetic:8x8x3,10,64")
    config = Config(augment=("cutout(size=16, fill='mean')",))
    out = build_augmentation(config, dataset)(jax.random.key(0), {"image": jnp.zeros((1, 8, 8, 3))})
    erased = np.asarray(out["image"]).reshape(-1, 3)
    assert np.isin(erased[:, 0], [0.0, dataset.mean[0]]).all()
    np.testing.assert_allclose(erased.max(0), dataset.mean, rtol=1e-6)


def test_normalization_gives_training_images_mean_0_and_deviation_1():
    dataset = load("digits")
    pixels = normalization(dataset)(jnp.asarray(dataset.train.images, jnp.float32) / 255)
    np.testing.assert_allclose(pixels.mean(), 0, atol=1e-4)
    np.testing.assert_allclose(pixels.std(), 1, atol=1e-4)


def test_never_takes_no_augmentation_and_options_reach_the_mixing():
    dataset = load("synthetic:8x8x3,10,64")
    batch = {"image": jnp.asarray(dataset.train.images[:8], jnp.float32), "label": jnp.eye(10)[:8]}
    config = Config(mix="ricap(image_mixing=False, beta=1.0)", strategy="never")
    strategy = build_strategy(config, build_augmentation(config, dataset))
    assert strategy.select(jax.random.key(0), (), batch, lambda batch: batch["label"][:, 0])[0] is batch
    mixed = build_augmentation(config, dataset)(jax.random.key(0), batch)
    np.testing.assert_array_equal(mixed["image"], batch["image"])
    assert (np.asarray(mixed["label"]).max(1) < 1).any()
    with pytest.raises(ValueError, match="unknown strategy"):
        build_strategy(dataclasses.replace(config, strategy="nevr"), lambda k, b: b)
