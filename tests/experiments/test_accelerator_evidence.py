"""The arms that the accelerator command trains: valid, repeatable by their commands, compiled once for all seeds."""

import dataclasses
import functools
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.accelerator.evidence import items, result_lines
from experiments.accelerator.evidence.arms import METHODS, REGIMES, Arm
from experiments.accelerator.evidence.images import dataset_of, decoded
from experiments.accelerator.evidence.queue import arms, rehearsed
from experiments.accelerator.evidence.training import Trainer
from experiments.accelerator.item import Options
from experiments.run.build import (
    build_augmentation,
    build_dataset,
    build_experiment,
    build_model,
    build_optimizer,
    build_strategy,
)
from experiments.train import parsed
from jaxaug import load
from jaxaug.training import fit

NOISE = "synthetic:8x8x3,classes=10,n=200"
KINDS = list(dict.fromkeys((arm.regime, arm.method) for arm in arms()))


def small(method: str, seed: int = 0, regime: str = "short"):
    """Returns the config of an arm with a network that compiles in a moment."""
    return dataclasses.replace(Arm(regime, method, seed).config(NOISE, "tiny", 8), model="mlp(hidden=(8,))")


@pytest.mark.parametrize("method", METHODS)
def test_the_data_of_a_method_is_augmented_and_selected(method):
    config = Arm("short", method).config(NOISE, "full", 8)
    dataset = load(NOISE)
    strategy = build_strategy(config, build_augmentation(config, dataset))
    batch = {"image": jnp.full((4, 8, 8, 3), 0.5), "label": jnp.eye(10)[:4], "index": jnp.arange(4)}
    selected, _, metrics = strategy.select(jax.random.key(0), strategy.init(200), batch, lambda b: b["label"][:, 0])
    assert selected["image"].shape == (4, 8, 8, 3)
    assert 0 <= metrics["augmented"] <= 1


def test_the_networks_take_the_layers_of_the_arms():
    configs = {Arm(regime, method).config(NOISE, "full") for regime, method in KINDS}
    networks = {(config.model, config.regularizer, config.pool): config for config in configs}
    assert len(networks) == 4
    for config in networks.values():
        initial = functools.partial(build_model(config, 10).init_with_output, train=False)
        logits, variables = jax.eval_shape(initial, jax.random.key(0), jnp.zeros((2, 32, 32, 3)))
        assert logits.shape == (2, 10)
        assert build_optimizer(config, 50_000).init(variables["params"])


def test_the_command_of_an_item_trains_its_arm():
    data = "folder:/some where/cifar10"
    chosen = [item for item in items(Options(data=data)) if item.settings["seed"] in (0, 2)]
    assert len(chosen) == 2 * len(KINDS)
    for item in chosen[::3]:
        settings = item.settings
        config = Arm(settings["regime"], settings["method"], settings["seed"]).config(data, "full")
        words = shlex.split(settings["command"])
        assert words[:3] == ["python", "-m", "experiments.train"]
        assert parsed(words[3:])[1].config == config


def test_arms_of_a_regime_differ_in_their_method_and_seed_alone():
    def recipe(arm):
        config = arm.config(NOISE, "full")
        return dataclasses.replace(config, augment=(), mix=None, strategy="always", regularizer=None, pool=None, seed=0)

    for regime in REGIMES:
        assert len({recipe(arm) for arm in arms() if arm.regime == regime}) == 1


def test_every_arm_comes_with_three_seeds_and_the_most_telling_comes_first():
    names = [item.name for item in items(Options(data="folder:/cifar10"))]
    assert len(set(names)) == len(names) == 3 * len(KINDS)
    assert [(arm.regime, arm.method) for arm in arms()[:4]] == [
        ("few", "crop and flip"), ("few", "RICAP"), ("short", "crop and flip"), ("short", "RICAP"),
    ]  # fmt: skip
    # No arm is trained before the one that it is compared with.
    trained = set()
    for arm in arms():
        assert arm.method == "crop and flip" or dataclasses.replace(arm, method="crop and flip") in trained
        trained.add(arm)


def test_a_rehearsal_has_every_method_and_regime_and_needs_no_images():
    chosen = rehearsed()
    assert {arm.method for arm in chosen} == set(METHODS)
    assert {arm.regime for arm in chosen} == set(REGIMES)
    assert len(items(Options(scale="tiny"))) == len(chosen) == len(set(chosen))
    assert items(Options()) == []


def test_the_estimate_follows_the_time_of_an_epoch():
    slow, fast = ({i.name: i.seconds for i in items(Options(data="d"), seconds_per_epoch=s)} for s in (2.0, 1.0))
    assert slow["short, RICAP, seed 0"] - fast["short, RICAP, seed 0"] == pytest.approx(30)
    assert slow["few, RICAP, seed 0"] - fast["few, RICAP, seed 0"] == pytest.approx(12)


def test_a_seed_trains_by_the_programs_of_another_as_it_would_by_its_own():
    trainer, (first, second) = Trainer(), (small("RICAP", seed) for seed in (0, 1))
    trainer.trained(first)
    trainer.prepare(second)
    found = trainer.trained(second)
    assert len(trainer.train_steps) == len(trainer.eval_steps) == 1
    alone = build_experiment(second)
    _, records = fit(
        alone.state, alone.train_step, alone.eval_step, alone.dataset,
        epochs=2, batch_size=50, engine="loop", eval_every=2,
    )  # fmt: skip
    last = records[-1]
    assert {name: found[name] for name in ("train_loss", "test_loss", "epoch", "step")} == {
        name: last[name] for name in ("train_loss", "test_loss", "epoch", "step")
    }
    assert found["test_error"] == pytest.approx(100 * (1 - last["test_accuracy"]))
    assert found["train_losses"][-1] == pytest.approx(last["train_loss"], abs=1e-4)


def test_seeds_of_few_examples_have_subsets_and_programs_of_their_own():
    trainer, configs = Trainer(), [small("crop and flip", seed, "few") for seed in (0, 1)]
    for config in configs:
        np.testing.assert_array_equal(dataset_of(config).train.images, build_dataset(config).train.images)
        trainer.trained(config)
    assert len(trainer.train_steps) == len(trainer.eval_steps) == 2


def test_what_fails_while_it_is_prepared_fails_when_it_is_asked_for_and_can_be_tried_again():
    trainer, wrong = Trainer(), dataclasses.replace(small("crop and flip"), batch_size=1000)
    for _ in range(2):
        trainer.prepare(wrong)
        with pytest.raises(ValueError, match="batch size"):
            trainer.trained(wrong)


def test_processes_decode_what_the_library_loads(tmp_path):
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(3):
                image = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8))
                image.save(tmp_path / split / label / f"{number}.png")
    ours, theirs = decoded(f"folder:{tmp_path}", 8), load(f"folder:{tmp_path}", image_size=8)
    for name, split in theirs.splits.items():
        np.testing.assert_array_equal(ours.splits[name].images, split.images)
        np.testing.assert_array_equal(ours.splits[name].labels, split.labels)
    assert not ours.streamed


def test_findings_become_a_line_for_each_arm():
    def finding(method, seed, percent, **more):
        (item,) = [i for i in items(Options(data="d")) if i.name == f"short, {method}, seed {seed}"]
        result = {"test_error": percent, "train_loss": 0.1, "train_accuracy": 0.9, "train_seconds": 9.0}
        result |= {"examples_per_second": 1e4 + seed}
        line = {"stage": "evidence", "scale": "full", "device_kind": "card", "settings": item.settings, "versions": {}}
        return line | {"result": result} | more

    findings = [
        finding("RICAP", 1, 5.0),
        finding("RICAP", 0, 4.0),
        finding("crop and flip", 0, 6.0),
        finding("cutout", 0, 6.0, error={"type": "E"}),
        {"stage": "speed", "settings": {}},
    ]
    ricap, plain = result_lines(findings)
    assert (ricap["block"], ricap["arm"], ricap["seeds"], ricap["errors"]) == ("short", "RICAP", [0, 1], [4.0, 5.0])
    assert (plain["arm"], plain["errors"]) == ("crop and flip", [6.0])
    assert ricap["examples_per_second"] == 10_000.5
    assert "--seed 1" in ricap["commands"][1]
