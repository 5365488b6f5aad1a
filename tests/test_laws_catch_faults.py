"""The laws are worth what they catch: each fault breaks the law it should, and a sound function breaks none."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from laws import arrays, faults, interface, labels, randomness
from laws.operations import Operation

LAWS = [
    interface.key_arrays_then_keyword_options,
    interface.operation_is_documented,
    interface.options_go_by_name,
    interface.bad_arguments_get_one_sentence,
    arrays.shape_and_dtype_are_kept,
    arrays.one_example_in_half_precision_is_finite,
    arrays.numbers_are_the_same_however_run,
    randomness.key_alone_decides,
    randomness.no_key_is_used_twice,
    randomness.examples_are_independent,
]
MIX_LAWS = [*LAWS, labels.label_weight_is_the_share_of_pixels, labels.soft_labels_are_weighed_as_one_hot_ones]


@pytest.mark.parametrize("law", [*LAWS, arrays.numbers_may_be_traced, randomness.prob_is_the_rate])
def test_sound_function_breaks_no_law(law: Callable[[Operation], None]) -> None:
    law(Operation("sound", faults.sound))


@pytest.mark.parametrize("law", MIX_LAWS)
def test_sound_mix_breaks_no_law(law: Callable[[Operation], None]) -> None:
    law(Operation("sound_mix", faults.sound_mix))


FAULTS = [
    (randomness.examples_are_independent, faults.one_shift_per_batch, "share a draw"),
    (randomness.examples_are_independent, faults.one_coin_per_batch, "share a draw"),
    (randomness.examples_are_independent, faults.one_weight_per_batch, "share a draw"),
    (randomness.examples_are_independent, faults.neighbors_share_a_shift, "examples 0 and 1 share a draw"),
    (randomness.examples_are_independent, faults.only_the_first_image_changes, "treated differently"),
    (randomness.examples_are_independent, faults.key_not_used, "nothing in the output varies"),
    (randomness.prob_is_the_rate, faults.prob_applied_twice, "prob=0.2 changed 0.0"),
    (randomness.prob_is_the_rate, faults.prob_of_the_opposite, "prob=0.0 changed 1"),
    (randomness.prob_is_the_rate, faults.changed_a_little_at_zero, "prob=0.0 changed 1"),
    (randomness.no_key_is_used_twice, faults.key_used_twice, "uses a key twice"),
    (randomness.no_key_is_used_twice, faults.key_not_used, "leaves its key"),
    (randomness.key_alone_decides, faults.key_not_used, "all keys gave one result"),
    (randomness.key_alone_decides, faults.host_randomness, "another result"),
    (randomness.key_alone_decides, faults.counting_calls, "another result"),
    (arrays.shape_and_dtype_are_kept, faults.float32_whatever_comes, "turns"),
    (arrays.shape_and_dtype_are_kept, faults.height_for_width, "turns"),
    (arrays.one_example_in_half_precision_is_finite, faults.float32_whatever_comes, "float32"),
    (arrays.one_example_in_half_precision_is_finite, faults.infinite_in_half_precision, "finite"),
    (arrays.numbers_are_the_same_however_run, faults.branching_on_values, "Attempted boolean conversion"),
    (arrays.numbers_are_the_same_however_run, faults.other_numbers_when_compiled, "Not equal to tolerance"),
    (arrays.numbers_may_be_traced, faults.option_that_cannot_be_traced, "concrete value"),
    (arrays.numbers_may_be_traced, faults.option_rounded_when_traced, "Not equal to tolerance"),
    (interface.key_arrays_then_keyword_options, faults.option_by_position, "starts with"),
    (interface.options_go_by_name, faults.option_by_position, "by position"),
    (interface.bad_arguments_get_one_sentence, faults.arguments_unchecked, "a raw key"),
    (interface.bad_arguments_get_one_sentence, faults.prob_unchecked, "accepts prob=-0.1"),
    (interface.bad_arguments_get_one_sentence, faults.message_without_the_name, "does not name"),
    (interface.bad_arguments_get_one_sentence, faults.labels_unchecked, "class indices"),
    (interface.operation_is_documented, faults.undocumented, "not a sentence"),
    (labels.label_weight_is_the_share_of_pixels, faults.share_of_pixels_is_not_the_weight, "Not equal to tolerance"),
    (labels.soft_labels_are_weighed_as_one_hot_ones, faults.labels_made_hard, "weighed otherwise"),
    (labels.soft_labels_are_weighed_as_one_hot_ones, faults.weights_that_do_not_sum_to_one, "do not sum to 1"),
]


@pytest.mark.parametrize(("law", "fault", "seen"), FAULTS, ids=lambda case: getattr(case, "__name__", "-"))
def test_fault_breaks_its_law(law: Callable[[Operation], None], fault: Callable[..., Any], seen: str) -> None:
    with pytest.raises((AssertionError, jax.errors.ConcretizationTypeError), match=seen):
        law(Operation(fault.__name__, fault))


def test_key_reuse_is_seen_eagerly_too() -> None:
    with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
        faults.key_used_twice(jax.random.key(0), jnp.ones((2, 4, 4, 1)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Images shifted by a random amount each.", "Images shifted by a random amount each"),
        ("Images shifted by a random amount each.", "Images shifted by\n    a random amount each."),
        ("      shift: standard deviation of the shift.\n", ""),
        ("Returns:", "Result:"),
        ("      >>> ", "      "),
        ("Example:", "Examples:"),
    ],
)
def test_incomplete_docstring_is_seen(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = faults.sound.__doc__ or ""
    assert old in text
    monkeypatch.setattr(faults.sound, "__doc__", text.replace(old, new))
    with pytest.raises(AssertionError):
        interface.docstring_is_complete("sound", faults.sound)


def test_missing_reference_of_a_mix_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults.sound_mix, "__doc__", (faults.sound_mix.__doc__ or "").split("    References")[0])
    with pytest.raises(AssertionError, match="References"):
        interface.operation_is_documented(Operation("sound_mix", faults.sound_mix))
