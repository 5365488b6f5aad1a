"""The speed stage at its smallest: every kind of item gives figures that are positive and finite."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.accelerator import speed
from experiments.accelerator.item import ItemError, Options
from experiments.accelerator.speed import augmentations, steps, strategies
from experiments.accelerator.speed.programs import repeated
from experiments.accelerator.speed.scales import TINY
from experiments.accelerator.speed.turns import Contender, ratio, row, times_in_turns

ITEMS = {item.name: item for item in speed.items(Options(scale="tiny"))}


def numbers(value):
    """Yields every number inside a result."""
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


@pytest.mark.parametrize("scale", ["tiny", "full"])
def test_names_are_unique_and_every_item_has_an_estimate(scale):
    items = speed.items(Options(scale=scale, data="folder:nowhere"))
    assert len({item.name for item in items}) == len(items) > 10
    assert all(item.stage == "speed" and 0 < item.seconds <= 60 for item in items)
    json.dumps([item.settings for item in items])


@pytest.mark.parametrize(
    "name",
    [
        "ceilings",
        "augment 8 x 8",
        "augment 4 x 12, torchvision policies",
        "augment 8 x 8, torch",
        "fit cnn, batch 8",
        "decode JPEG 24 x 32",
    ],
)
def test_figures_are_positive_and_finite(name):
    result = json.loads(json.dumps(ITEMS[name].run()))
    found = list(numbers(result))
    assert found
    assert all(math.isfinite(each) and each > 0 for each in found), result


def test_a_strategy_is_compared_with_the_plain_step():
    result = strategies.costs(TINY, ["self-paced, stored loss"])
    assert 0 < result["self-paced, stored loss"] == result["steps"]["self-paced, stored loss"]["to_plain"]


def test_decodes_a_folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for split in ("train", "test"):
        (tmp_path / split / "ant").mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
            image.fromarray(pixels).save(tmp_path / split / "ant" / f"{i}.png")
    items = {item.name: item for item in speed.items(Options(scale="tiny", data=f"folder:{tmp_path}"))}
    result = items["decode a folder"].run()
    assert result["images"] == 3
    assert result["images_per_second"] > 0


def test_repeats_have_their_own_keys_and_the_last_one_is_returned():
    def drawn(key, x):
        return x + jax.random.uniform(key, x.shape)

    key, x = jax.random.key(3), jnp.zeros(4)
    result = jax.jit(repeated(drawn, 5))(key, jnp.ones(5), x)
    np.testing.assert_array_equal(result, drawn(jax.random.fold_in(key, 4), x))


def test_a_repeated_program_computes_every_round():
    """Work that needs no key is not moved out of the loop."""

    def heavy(key, x):
        return jnp.sin(x) @ x

    lowered = jax.jit(repeated(heavy, 3)).lower(jax.random.key(0), jnp.ones(3), jnp.ones((8, 8)))
    text = str(lowered.compile().as_text())
    assert "dot" not in steps.entry_computation(text)
    assert "dot" in text


def test_a_function_that_fails_is_an_error_and_the_others_are_kept(monkeypatch):
    known = augmentations.function

    def failing(key, images, labels):
        raise ValueError("no partner today")

    monkeypatch.setattr(augmentations, "_COMPILED", {})
    monkeypatch.setattr(augmentations, "function", lambda name, side: failing if name == "mixup" else known(name, side))
    with pytest.raises(ItemError, match="mixup: ValueError: no partner today") as caught:
        augmentations.ours(TINY, 0)
    assert set(caught.value.result["functions"]) == {"copy", "flip_left_right"}


def test_contenders_alternate_and_the_wait_is_shared():
    log = []

    def contender(name):
        return Contender(lambda: log.append(name), 2, lambda _: log.append("wait"))

    times = times_in_turns({"a": contender("a"), "b": contender("b")}, 2, 0.0)
    assert [name for name in log[8:] if name != "wait"] == ["a", "a", "b", "b", "a", "a", "b", "b"]
    assert all(len(each.seconds) == len(each.enqueued) == 2 for each in times.values())


def test_ratios_are_turn_by_turn():
    assert ratio([2.0, 30.0, 6.0], [1.0, 10.0, 2.0]) == 3.0
    assert row([1.0, 2.0, 3.0], more=4.0) == {"seconds": 2.0, "low": 1.5, "high": 2.5, "more": 4.0}


def test_instructions_are_those_of_the_entry():
    inner = "%inner {\n  %copy.1 = f32[2]{0} copy(%p)\n}"
    text = f"HloModule m\n{inner}\nENTRY %main {{\n  ROOT %f = f32[2]{{0}} fusion(%p)\n}}"
    step = steps.Step(type("Program", (), {"as_text": lambda self: text})(), None, {}, 1.0)
    assert step.kernels() == {"fusion": 1}
