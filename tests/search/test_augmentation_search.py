"""The search against the numbers that its parts give one by one."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug import (
    affinity,
    chain,
    create_model,
    crop,
    data,
    diversity,
    gaussian_noise,
    mixup,
    never,
    on_images,
    on_pairs,
)
from jaxaug.data import Split
from jaxaug.sampling import always
from jaxaug.search import SearchResult, search
from jaxaug.search.candidates import checked_candidates
from jaxaug.training import fit, init_state, make_eval_step, make_optimizer, make_train_step

IRIS = data.with_validation(data.load("iris"), 0.2)
MODEL = create_model("mlp", 3, hidden=(5,))
OPTIMIZER = make_optimizer(learning_rate=0.05)
OPTIONS: dict[str, Any] = {"epochs": 4, "early_epochs": 2, "batch_size": 32, "seeds": (3, 4)}


def broken(key, batch):
    return {**batch, "image": batch["image"] * jnp.float32(jnp.nan)}


CANDIDATES = {
    "noise 0.1": on_images(gaussian_noise, stddev=0.1),
    "broken": broken,
    "noise 2": on_images(gaussian_noise, stddev=2.0),
    "mixup": on_pairs(mixup, alpha=1.0),
}


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(CANDIDATES, IRIS, MODEL, OPTIMIZER, **OPTIONS, indicator="product")


def run(strategy, seed, epochs):
    parts = (MODEL, OPTIMIZER, strategy)
    about = {"shape": IRIS.shape, "num_examples": len(IRIS.train.labels)}
    state = init_state(jax.random.key(seed), *parts, **about)
    return fit(state, make_train_step(*parts), make_eval_step(MODEL), IRIS, epochs=epochs, batch_size=32)


def test_numbers_are_those_of_a_clean_network_and_of_early_training(found):
    assert IRIS.validation is not None
    images, labels = jnp.asarray(IRIS.validation.images), jax.nn.one_hot(jnp.asarray(IRIS.validation.labels), 3)
    name, expected_t, expected_d, accuracies = "noise 2", [], [], []
    for seed in OPTIONS["seeds"]:
        clean, clean_records = run(never(), seed, 4)
        _, records = run(always(CANDIDATES[name]), seed, 2)

        def predict(x, clean=clean) -> Any:
            return MODEL.apply(clean.inference_variables, x, train=False)

        # A batch of its own key, since the search takes the images in batches.
        t = affinity(predict, CANDIDATES[name], jax.random.key(seed), images, labels, batch_size=len(labels))
        expected_t.append(float(t))
        expected_d.append(float(diversity(records[-1]["train_loss"], clean_records[1]["train_loss"])))
        accuracies.append(records[-1]["validation_accuracy"])
    place = found.names.index(name)
    assert found.affinity[place] == pytest.approx(np.mean(expected_t), abs=1e-5)
    assert found.diversity[place] == pytest.approx(np.mean(expected_d), rel=1e-3)
    assert found.validation_accuracy[place] == pytest.approx(np.mean(accuracies), abs=1e-5)
    assert found.scores[place] == pytest.approx(found.affinity[place] * found.diversity[place], rel=1e-5)


def test_a_candidate_that_fails_is_dropped_by_name(found):
    assert found.failed == ("broken",)
    assert set(found.ranking) == set(CANDIDATES) - {"broken"}
    assert list(found.ranking) == sorted(found.ranking, key=lambda name: -found.scores[found.names.index(name)])
    assert not found.front[1]
    assert found.front.any()


def test_steps_are_counted(found):
    per_epoch = -(-len(IRIS.train.labels) // 32)
    assert found.clean_steps == 2 * 4 * per_epoch
    assert found.early_steps == 2 * 4 * 2 * per_epoch


def test_numbers_that_fix_a_shape_are_written_down():
    def widened(key, images, *, by):
        return jnp.pad(images, ((0, 0), (0, int(by))))[:, : images.shape[1]]

    [kept] = checked_candidates({"widened": on_images(widened, by=2.0)}, (4,), 3)
    assert jax.tree.leaves(kept) == []
    batch = {"image": jnp.ones((2, 4)), "label": jnp.eye(3)[:2]}
    np.testing.assert_array_equal(kept(jax.random.key(0), batch)["image"], batch["image"])
    [traced] = checked_candidates({"noise": on_images(gaussian_noise, stddev=2.0)}, (4,), 3)
    assert jax.tree.leaves(traced) == [2.0]


def test_bad_input_is_said():
    def searched(candidates=CANDIDATES, dataset=IRIS, **options):
        return search(candidates, dataset, MODEL, OPTIMIZER, **{**OPTIONS, **options})

    with pytest.raises(ValueError, match="at least one candidate; got none"):
        searched({})
    small = on_images(lambda key, images: crop(key, images, padding=0)[:, :4])
    with pytest.raises(ValueError, match=r"keep shapes; 'crop' changes image from float32\[4, 8, 8, 1\]"):
        checked_candidates({"crop": small}, (8, 8, 1), 3)
    with pytest.raises(TypeError, match="got float for 'x'"), annotations_unchecked():
        searched({"x": 1.0})
    with pytest.raises(ValueError, match="with a validation split"):
        searched(dataset=dataclasses.replace(IRIS, validation=None))
    assert IRIS.validation is not None
    kept = IRIS.validation.labels < 2
    part = dataclasses.replace(IRIS, validation=Split(IRIS.validation.images[kept], IRIS.validation.labels[kept]))
    with pytest.raises(ValueError, match=f"there are none of {IRIS.class_names[2]}"):
        searched(dataset=part)
    with pytest.raises(ValueError, match="at most epochs, 4; got 5"):
        searched(early_epochs=5)
    with pytest.raises(ValueError, match="rank_sum"):
        searched(indicator="ranksum")
    with pytest.raises(ValueError, match="search takes kind='ratio' for the indicator 'product'; got 'difference'"):
        searched(indicator="product", kind="difference")
    with pytest.raises(ValueError, match="at least one seed"):
        searched(seeds=())
    with pytest.raises(RuntimeError, match="with seed 3 it became NaN or infinite"):
        search(CANDIDATES, IRIS, MODEL, make_optimizer(learning_rate=1e30), **OPTIONS)


def test_a_chain_of_nothing_changes_nothing():
    batch = {"image": jnp.ones((2, 4)), "label": jnp.eye(2)}
    assert chain()(jax.random.key(0), batch) is batch
