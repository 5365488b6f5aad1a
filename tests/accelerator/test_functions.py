"""Comparison of two devices: what is equal, what is close, and what is a fault."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.accelerator.check import functions, training
from experiments.accelerator.check.functions import compared_functions, differences
from experiments.accelerator.item import ItemError
from jaxaug import augment, explain

PACKAGE = types.SimpleNamespace(
    __name__="jaxaug.invented",
    __all__=["crop", "bounding_box"],
    crop=augment.crop,
    bounding_box=explain.bounding_box,
)


def test_deviation_is_relative_to_the_largest_magnitude_or_one() -> None:
    found, expected = np.array([0.0, 50.0, 100.5], np.float32), np.array([0.0, 50.0, 100.0], np.float32)
    assert differences(found, expected, 1e-2) == (pytest.approx(0.5 / 100), 0.0)
    deviation, beyond = differences(found, expected, 1e-3)
    assert (deviation, beyond) == (pytest.approx(0.005), pytest.approx(1 / 3))
    assert differences(np.array([0.1], np.float32), np.array([0.3], np.float32), 0.1)[0] == pytest.approx(0.2)


def test_integers_are_equal_or_wrong() -> None:
    assert differences(np.array([1, 2]), np.array([1, 2]), 0.1) == (0.0, 0.0)
    assert differences(np.array([1, 200]), np.array([1, 201]), 0.1)[1] == 1.0
    assert differences(np.array([True]), np.array([False]), 2.0)[1] == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_on_one_device_alone_is_beyond(bad: float) -> None:
    for found, expected in (([bad, 1.0], [0.0, 1.0]), ([0.0, 1.0], [bad, 1.0])):
        deviation, beyond = differences(np.array(found, np.float32), np.array(expected, np.float32), 1.0)
        assert deviation == np.inf
        assert beyond == 0.5
    assert differences(np.array([bad, 1.0], np.float32), np.array([bad, 1.0], np.float32), 1e-6) == (0.0, 0.0)


def test_functions_are_compared_in_both_dtypes() -> None:
    result = compared_functions(PACKAGE, "tiny")  # pyright: ignore[reportArgumentType]
    assert result["count"] == 2
    assert result["functions"]["crop"] == {"float32": 0.0, "bfloat16": 0.0}


@pytest.mark.parametrize("wrong", ["crop", "bounding_box"])
def test_a_function_that_differs_is_named_and_keeps_its_deviation(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def outputs_on(device, program, host, options):
        outputs = jax.device_get(program(jax.random.key(7), jax.device_put(host)))
        if options:  # on the CPU
            outputs[wrong] = jax.tree.map(lambda x: x + np.ones((), x.dtype), outputs[wrong])
        return outputs

    monkeypatch.setattr(functions, "outputs_on", outputs_on)
    with pytest.raises(ItemError, match=f"differ: {wrong} in float32") as raised:
        compared_functions(PACKAGE, "tiny")  # pyright: ignore[reportArgumentType]
    deviations = raised.value.result["functions"]
    assert deviations[wrong]["float32"] > 0
    assert sum(entry["float32"] > 0 for entry in deviations.values()) == 1


def test_members_that_failed_or_differ_are_a_fault() -> None:
    params = {"kernel": jnp.ones(3)}
    assert training.close_enough("they", [params], [params]) == {"deviation": 0.0, "tolerance": training.TOLERANCE}
    with pytest.raises(ItemError, match=r"they differ by 0.33\."):
        training.close_enough("they", [params], [{"kernel": jnp.full(3, 1.5)}])
    with pytest.raises(ItemError, match="they: 1 members failed"):
        training.close_enough("they", [], [params])
